//! Listeners and streams: TCP over IPv4 and IPv6, and Unix sockets, behind one face each.
//!
//! Nothing here knows what the bytes mean or which loop it is registered with.

mod address;
mod bucket;
mod duplex;
mod holder;
mod listener;
mod pieces;
mod pipe;
mod stream;
mod throttle;

pub use address::{Address, DEFAULT_PORT, Endpoint, ParseError};
pub use bucket::Bucket;
pub use duplex::Duplex;
pub use listener::{Accepted, Listener, Sharing};
pub use pieces::{Dribble, PAUSE, Pieces, PiecesFault, Sizes, Turn};
pub use pipe::Pipe;
pub use stream::{Stream, Tuning};
pub use throttle::Throttle;
