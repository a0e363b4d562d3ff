//! Tasks 1 and 2: a connection, and what becomes of it.

use super::wire::{Heard, Wire};
use super::{Failure, Settings};
use crate::net::Address;

/// What a connection came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it went to.
    pub to: Address,
    /// Where it came from, which is what the server prints; nothing over a Unix socket.
    pub from: Option<Address>,
    /// What happened then.
    pub then: Then,
}

/// What a server did with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It closed it, as it should.
    Closed,
    /// It reset it.
    Broken(String),
    /// It said something, for which there is no reason.
    Said(Vec<u8>),
    /// It let it stand, for as long as was waited.
    Open,
}

/// Connects, and looks for [`Settings::quiet`] what the server does. A server that has closed a
/// connection prints nothing more of it, so each status is of a new one.
///
/// # Errors
/// Where no connection could be made.
pub fn status(settings: &Settings) -> Result<Status, Failure> {
    let mut wire = Wire::connect(settings)?;
    let (to, from) = wire.ends();
    let then = match wire.hear(Some(settings.quiet)) {
        Heard::End => Then::Closed,
        Heard::Broken(how) => Then::Broken(how),
        Heard::Nothing => Then::Open,
        Heard::Bytes | Heard::TooMuch => Then::Said(wire.heard),
    };
    Ok(Status { to, from, then })
}
