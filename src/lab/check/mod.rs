//! A checker for the tasks' servers, in whatever language they are written.
//!
//! It talks to a server as many clients would, good and bad ones, and says of each case what came
//! of it: PASS, WEAK (allowed, but it will break one day; or an extra is missing), FAIL, or CAN'T
//! TELL. The cases are tables in [`cases`], one file a task; each is a sentence of what is
//! required, why, the mistake that most likely makes it fail, and a function of a few lines.
//!
//! | file | what it does |
//! |---|---|
//! | [`case`], [`cases`] | what is required |
//! | [`runner`] | one case after the other; starts a dead server again |
//! | [`bench`](mod@bench) | what a case works with: connections, names, bytes, the stored files |
//! | [`probe`], [`transcript`], [`dump`] | one connection, all that was said on it, and how that is shown |
//! | `litter` | taking away what a run has left |
//! | [`folder`], [`program`], [`proc`] | the server's files, its processes, and what Linux tells of them |
//! | [`console`] | what it prints, where the reason of a failure often stands |
//! | [`verdict`], [`report`] | what a case comes to, as text, JSON and JUnit |
//!
//! A verdict must be fair: what the sheet leaves open is never a failure. A text that is cut at the
//! first segment fails (hello, task 3), since our half-close marks where it ends. A raw *name* that
//! is cut there is only weak: nothing but silence ends it, and no server can be sure of that.
//!
//! Nothing here knows our own servers: they are checked like anybody else's.

pub mod bench;
pub mod case;
pub mod cases;
pub mod console;
mod diag;
pub mod dump;
pub mod folder;
mod litter;
pub mod message;
pub mod probe;
pub mod proc;
pub mod program;
pub mod report;
pub mod runner;
pub mod shown;
pub mod transcript;
pub mod verdict;
pub mod watch;

pub use case::{Case, select};
pub use runner::{CheckError, Checked, Settings, run};
pub use verdict::{Finding, Tally, Verdict};
