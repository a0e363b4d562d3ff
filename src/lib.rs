//! An upload server and client whose `OK` means that the file is safe.
//!
//! Sockets hand over only part of a message at a time; this library is about doing that right.
//! It is built in floors, and a floor uses lower ones only:
//!
//! | floor | folders                            | what it knows                                       |
//! |-------|------------------------------------|-----------------------------------------------------|
//! | 3     | [`server`], [`client`], [`lab`]    | the two programs as libraries; a course's tasks     |
//! | 2     | [`session`]                        | one machine, one socket, one upload, within a budget |
//! | 1     | [`reactor`] [`net`] [`store`] [`observe`] [`sandbox`] | the poll loop; sockets; where uploads land; counters and lines for people; what a process gives up |
//! | 0     | [`proto`]                          | what the bytes mean, and nothing of sockets, files or clocks |
//!
//! Start reading in [`proto::receiver`]. To receive files from another program, see [`server`];
//! to send some, see [`client`].

pub mod client;
pub mod lab;
pub mod net;
pub mod observe;
pub mod proto;
pub mod reactor;
pub mod sandbox;
pub mod server;
pub mod session;
pub mod store;
