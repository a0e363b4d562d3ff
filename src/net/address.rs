//! Where to listen, and where to connect.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use crate::proto::text::escaped;

/// The port that is meant where none is given.
pub const DEFAULT_PORT: u16 = 9000;

/// Longest path of a Unix socket; the kernel's structure has room for 108 bytes with a NUL.
const UNIX_PATH_MOST: usize = 107;

/// A place that one socket can have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

/// What a person calls a place: an address, or a host's name that may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host, by name or by number, and a port.
    Host(String, u16),
    /// A path.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The port is missing or no number up to 65535.
    #[error("the port is missing or not a number up to 65535; try 127.0.0.1:{DEFAULT_PORT}")]
    Port,
    /// The host is empty, or an IPv6 address without brackets.
    #[error("the host is missing, or an IPv6 address without brackets; try [::1]:{DEFAULT_PORT}")]
    Host,
    /// A host's name where only a number will do.
    #[error("not an IP address; try 127.0.0.1:{DEFAULT_PORT}, 0.0.0.0:{DEFAULT_PORT} or unix:PATH")]
    NotNumeric,
    /// A path that is empty or too long.
    #[error("a Unix socket's path has 1 to {UNIX_PATH_MOST} bytes")]
    Path,
}

impl Address {
    /// Whether only programs on this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Address, ParseError> {
        match text.parse()? {
            Endpoint::Unix(path) => Ok(Address::Unix(path)),
            Endpoint::Host(host, port) => {
                let ip = if host == "localhost" {
                    Ok([127, 0, 0, 1].into())
                } else {
                    host.parse()
                };
                ip.map(|ip| Address::Tcp(SocketAddr::new(ip, port)))
                    .map_err(|_| ParseError::NotNumeric)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => {
                write!(f, "unix:{}", escaped(path.as_os_str().as_encoded_bytes()))
            }
        }
    }
}

impl Endpoint {
    /// Every address that it has, in the resolver's order. Blocks while it asks.
    pub fn resolve(&self) -> io::Result<Vec<Address>> {
        match self {
            Endpoint::Unix(path) => Ok(vec![Address::Unix(path.clone())]),
            Endpoint::Host(host, port) => {
                let found: Vec<Address> = (host.as_str(), *port)
                    .to_socket_addrs()?
                    .map(Address::Tcp)
                    .collect();
                if found.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        "the name has no address",
                    ));
                }
                Ok(found)
            }
        }
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Endpoint {
        match address {
            Address::Tcp(address) => Endpoint::Host(address.ip().to_string(), address.port()),
            Address::Unix(path) => Endpoint::Unix(path),
        }
    }
}

impl FromStr for Endpoint {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Endpoint, ParseError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = (1..=UNIX_PATH_MOST).contains(&path.len()) && !path.contains('\0');
            return fits
                .then(|| Endpoint::Unix(path.into()))
                .ok_or(ParseError::Path);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(ParseError::Host)?;
            let port = if port.is_empty() {
                None
            } else {
                port.strip_prefix(':')
            };
            return Endpoint::host(host, port.ok_or(ParseError::Port)?);
        }
        let (host, port) = text.rsplit_once(':').ok_or(ParseError::Port)?;
        if host.contains(':') {
            return Err(ParseError::Host);
        }
        Endpoint::host(host, port)
    }
}

impl Endpoint {
    fn host(host: &str, port: &str) -> Result<Endpoint, ParseError> {
        if host.is_empty() {
            return Err(ParseError::Host);
        }
        let digits = port.bytes().all(|digit| digit.is_ascii_digit());
        let port = port
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or(ParseError::Port)?;
        Ok(Endpoint::Host(host.to_owned(), port))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Host(host, port) if host.contains(':') => {
                write!(f, "[{}]:{port}", escaped(host))
            }
            Endpoint::Host(host, port) => write!(f, "{}:{port}", escaped(host)),
            Endpoint::Unix(path) => Address::Unix(path.clone()).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_are_written() {
        for text in [
            "127.0.0.1:9000",
            "[::1]:0",
            "0.0.0.0:65535",
            "unix:/tmp/a b.sock",
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), text);
            let address: Address = text.parse().expect(text);
            assert_eq!(Endpoint::from(address), endpoint);
        }
        assert_eq!(
            "files.example:9000".parse(),
            Ok(Endpoint::Host("files.example".into(), 9000))
        );
    }

    #[test]
    fn what_is_no_address_says_what_would_be_one() {
        for (text, error) in [
            ("9000", ParseError::Port),
            ("127.0.0.1", ParseError::Port),
            ("127.0.0.1:", ParseError::Port),
            ("127.0.0.1:65536", ParseError::Port),
            ("127.0.0.1:+1", ParseError::Port),
            ("[::1]", ParseError::Port),
            (":9000", ParseError::Host),
            ("::1:9000", ParseError::Host),
            ("[::1:9000", ParseError::Host),
            ("files.example:9000", ParseError::NotNumeric),
            ("unix:", ParseError::Path),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
        assert!("unix:".to_owned().parse::<Endpoint>().is_err());
        assert!(
            format!("unix:/{}", "a".repeat(107))
                .parse::<Endpoint>()
                .is_err()
        );
    }

    #[test]
    fn loopback_and_paths_are_local_and_nothing_else_is() {
        for (text, local) in [
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:a", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(
                text.parse::<Address>().expect(text).is_local(),
                local,
                "{text}"
            );
        }
    }
}
