//! What a running program tells: counters, and lines for people.
//!
//! Nothing here may hold up the loop, and no byte of a peer's reaches a line raw.

mod counters;
mod lines;

pub use counters::{Counters, Snapshot};
pub use lines::{LineSender, LineWriter};
