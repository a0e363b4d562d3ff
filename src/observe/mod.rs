//! What a running program tells: counters, lines for people, and a trace of each connection.
//!
//! Nothing here may hold up the loop, and no byte of a peer's reaches a line raw.

mod counters;
mod lines;
pub mod trace;
mod tracer;

pub use counters::{Counters, Snapshot};
pub use lines::{LineQueue, LineSender, LineWriter};
pub use tracer::{Tracer, Watch};
