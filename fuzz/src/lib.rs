//! What is tried with bytes that nobody chose: one module for each of what reads a stranger's
//! bytes, with one function that takes an input and panics where a promise is broken.
//!
//! Nothing here knows of a fuzzer. `fuzz_targets/` hands these functions to libFuzzer, and
//! `tests/corpus.rs` of the project feeds them what was found before, in every run of its tests.
//!
//! | module | reads | promises |
//! |---|---|---|
//! | [`receiver`] | a client's bytes | the same in any pieces; one reply a message, in order; nothing after the end |
//! | [`sender`] | a server's bytes | never a false success; no byte offered twice; one outcome a file |
//! | [`fields`] | PUT, END, replies | what is written reads back; unknown keys change nothing; what is shown is plain |
//! | [`names`] | names | what is taken keeps each rule of docs/PROTOCOL.md, and stays in its folder |
//! | [`lab`] | a student's client | a message does the same in any pieces; memory and time are bounded |
//! | [`check`] | a student's server, and /proc | what is shown is plain and short; what the kernel says is understood |
//! | [`trace`] | a trace, a journal | what is read is drawn, in bounds; what is no trace is refused in a plain line |

pub mod check;
pub mod fields;
pub mod input;
pub mod lab;
pub mod names;
pub mod plain;
pub mod receiver;
pub mod sender;
pub mod trace;

// The trace's drawing writes numbers with it.
#[allow(dead_code, reason = "only the half that shows numbers is of use here")]
#[path = "../../src/cli/units.rs"]
mod units;

/// What takes an input, and panics where a promise is broken.
pub type Check = fn(&[u8]);

/// Every target by its name, which its corpus has too.
pub const TARGETS: [(&str, Check); 7] = [
    ("receiver", receiver::check),
    ("sender", sender::check),
    ("fields", fields::check),
    ("names", names::check),
    ("lab", lab::check),
    ("check", check::check),
    ("trace", trace::check),
];
