//! A question to Linux about one TCP socket of this machine: does it listen, is it read?
//!
//! Netlink's `sock_diag` (`man 7 sock_diag`) finds a socket by its addresses in microseconds.
//! /proc/net/tcp would tell the same, but lists every socket there is, and each connection that a
//! server closed stands there for a minute more: after some thousand of them a look takes longer
//! than the pause that ends a raw text.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// AF_NETLINK, and its part that knows of sockets, NETLINK_SOCK_DIAG.
const NETLINK: (i32, i32) = (16, 4);
/// SOCK_DIAG_BY_FAMILY: the type of the question, and of an answer that found something.
const BY_FAMILY: u16 = 20;
/// NLMSG_ERROR: the type of any other answer.
const ERROR: u16 = 2;
/// NLM_F_REQUEST; without NLM_F_DUMP one socket is asked for, not all.
const REQUEST: u16 = 1;
/// ENOENT, as an answer has it: there is no such socket.
const NO_SUCH: i32 = -2;
/// TCP_LISTEN.
const LISTEN: u8 = 10;
/// Bytes of the header that is in front of every netlink message, and of our question with it.
const HEADER: usize = 16;
const QUESTION: usize = HEADER + 56;

/// What the kernel knows of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether it takes connections; else it is one.
    pub(super) listens: bool,
    /// Bytes that have come and that its program has not read. Of one that listens, connections.
    pub(super) unread: u32,
}

/// Looks a socket up by its own address and its peer's. Where there is no such connection, one
/// that listens at the address is found; without either, `None`. Fails where the kernel can't be
/// asked.
pub(super) fn look_up(own: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Option<Known>> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (domain, protocol) = NETLINK;
    let mut socket = Socket::new(
        Domain::from(domain),
        Type::DGRAM,
        Some(Protocol::from(protocol)),
    )?;
    // The answer is there as soon as the question is sent, so nothing is to be waited for.
    socket.set_nonblocking(true)?;
    socket.write_all(&question(own, peer))?;
    let mut answer = [0; 1024];
    let size = socket.read(&mut answer)?;
    understood(&answer[..size])
}

/// An `nlmsghdr` and an `inet_diag_req_v2`. Addresses and ports have the network's byte order, the
/// rest has the machine's.
fn question(own: SocketAddr, peer: Option<SocketAddr>) -> Vec<u8> {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const TCP: u8 = 6;
    let own_ip = own.ip().to_canonical();
    let family = if own_ip.is_ipv4() { AF_INET } else { AF_INET6 };
    let length = u32::try_from(QUESTION).expect("it is short");
    let mut out = Vec::with_capacity(QUESTION);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    out.extend_from_slice(&REQUEST.to_ne_bytes());
    out.extend_from_slice(&[0; 8]); // Its number, and the kernel as its receiver.
    out.extend_from_slice(&[family, TCP, 0, 0]);
    out.extend_from_slice(&u32::MAX.to_ne_bytes()); // In whichever state.
    out.extend_from_slice(&own.port().to_be_bytes());
    out.extend_from_slice(&peer.map_or(0, |peer| peer.port()).to_be_bytes());
    out.extend_from_slice(&padded(Some(own_ip)));
    out.extend_from_slice(&padded(peer.map(|peer| peer.ip().to_canonical())));
    out.extend_from_slice(&[0; 4]); // On whichever interface.
    out.extend_from_slice(&[0xff; 8]); // Not one certain incarnation of it.
    out
}

/// An address in the 16 bytes that either kind has; nobody's is all zeros.
fn padded(ip: Option<IpAddr>) -> [u8; 16] {
    let mut out = [0; 16];
    match ip {
        Some(IpAddr::V4(ip)) => out[..4].copy_from_slice(&ip.octets()),
        Some(IpAddr::V6(ip)) => out = ip.octets(),
        None => {}
    }
    out
}

/// An `nlmsghdr` and behind it an `inet_diag_msg`, or the number of an error.
fn understood(answer: &[u8]) -> io::Result<Option<Known>> {
    let four = |at: usize| -> Option<[u8; 4]> { answer.get(at..at + 4)?.try_into().ok() };
    let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let [low, high, ..] = four(4).ok_or_else(short)?;
    match u16::from_ne_bytes([low, high]) {
        BY_FAMILY => {
            let [_, state, ..] = four(HEADER).ok_or_else(short)?;
            // Behind four bytes of kind, 48 of addresses and four of a timer.
            let unread = four(HEADER + 56).ok_or_else(short)?;
            Ok(Some(Known {
                listens: state == LISTEN,
                unread: u32::from_ne_bytes(unread),
            }))
        }
        ERROR => match i32::from_ne_bytes(four(HEADER).ok_or_else(short)?) {
            NO_SUCH => Ok(None),
            error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        },
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listener_is_found_until_it_is_gone_and_a_connection_says_what_is_unread() {
        for own in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(own) else {
                continue;
            };
            let theirs = listener.local_addr().unwrap();
            assert!(look_up(theirs, None).unwrap().unwrap().listens);
            let mut stream = TcpStream::connect(theirs).unwrap();
            let ours = stream.local_addr().unwrap();
            // The bytes cross the loopback before write returns.
            stream.write_all(b"seven b").unwrap();
            let known = look_up(theirs, Some(ours)).unwrap().unwrap();
            assert_eq!((known.listens, known.unread), (false, 7));
            drop((stream, listener));
            assert_eq!(look_up(theirs, None).unwrap(), None);
        }
    }

    #[test]
    fn who_listens_at_every_address_listens_at_this_one() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = SocketAddr::from(([127, 0, 0, 1], port));
        assert!(look_up(here, None).unwrap().unwrap().listens);
    }

    #[test]
    fn an_answer_that_is_cut_or_of_another_kind_is_an_error() {
        assert!(understood(&[]).is_err());
        assert!(understood(&[0; 40]).is_err());
        let mut cut = [0; 30];
        cut[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        assert!(understood(&cut).is_err());
    }
}
