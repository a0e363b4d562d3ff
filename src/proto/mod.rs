//! What the bytes mean: messages, replies, names and the machines that read and write them.
//!
//! Everything here is sans-IO. Nothing names a socket, a file or a clock: bytes and the time come
//! in as arguments, and what should be done comes out as values. So the same code can be driven
//! by a reactor, by a test that feeds one byte at a time, and by a simulation.
//!
//! The way through: a [`Kind`] and a length make a header ([`header`]); the [`Receiver`] reads
//! messages and answers each with a [`Reply`]; the [`Sender`] is its mirror on the client's side.

pub mod announce;
pub mod digest;
pub mod error;
pub mod fields;
pub mod header;
pub mod kind;
pub mod limits;
pub mod machine;
pub mod metadata;
pub mod moment;
pub mod name;
pub mod receiver;
pub mod replies;
pub mod reply;
pub mod sender;
pub mod text;
pub mod transitions;
pub mod upload_id;
pub mod watch;

pub use announce::{Conflict, End, Put};
pub use digest::Digest;
pub use error::{Code, Fault};
pub use kind::Kind;
pub use limits::{Deadlines, Rules, Strings};
pub use machine::{
    Action, Begun, Machine, Order, Position, Progress, Seal, Step, Stop, Ticket, Want,
};
pub use metadata::Metadata;
pub use moment::Moment;
pub use name::Name;
pub use receiver::Receiver;
pub use reply::{Answer, Receipt, Reply};
pub use sender::Sender;
pub use upload_id::UploadId;
