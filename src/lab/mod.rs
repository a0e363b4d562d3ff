//! The tasks of a first course on sockets: a server and a client for each, and a checker for
//! other people's servers.
//!
//! The tasks build on each other: a connection is printed (1, 2), a text is answered (3, and the
//! `hello` it is introduced with), a type byte says what follows (4), a length says how much (5),
//! a name comes first and gives the file its own (6). None of the programs that were written for
//! them puts a length before a text, so only time tells where one ends. That is what most of the
//! code here is about, and why a protocol should never need it: docs/lab tells the story.
//!
//! Each task's server is a machine like the [`Receiver`](crate::proto::Receiver), and runs on the
//! same reactor. Nothing here knows the server it runs in.

pub mod check;
pub mod client;
pub mod grammar;
pub mod machines;
pub mod task;
pub mod threads;

pub use grammar::Grammar;
pub use machines::{LabMachine, Settings};
pub use task::Task;
