//! Who has an address already: for the line that says why a server can't have it.

use super::address::Address;

/// The program that listens at an address, as in `nginx (pid 123)`, where it can be found out.
#[cfg(target_os = "linux")]
pub(super) fn holder_of(address: &Address) -> Option<String> {
    let inodes = match address {
        Address::Tcp(address) => linux::tcp_listeners(address.port()),
        Address::Unix(path) => linux::unix_listeners(path),
    };
    linux::owner_of(&inodes)
}

/// The program that listens at an address: only Linux tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn holder_of(_: &Address) -> Option<String> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::path::Path;

    use crate::proto::text::escaped;

    /// The state LISTEN in /proc/net/tcp.
    const LISTEN: &str = "0A";

    /// Inodes of the sockets that listen on a port, whatever their IP address.
    pub(super) fn tcp_listeners(port: u16) -> Vec<String> {
        let port = format!(":{port:04X}");
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let tables = tables
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok());
        let listeners = tables.flat_map(|table| {
            let lines = table
                .lines()
                .skip(1)
                .map(|line| line.split_whitespace().collect());
            lines
                .filter(|columns: &Vec<&str>| {
                    columns.get(1).is_some_and(|local| local.ends_with(&port))
                        && columns.get(3) == Some(&LISTEN)
                })
                .filter_map(|columns| columns.get(9).map(|inode| (*inode).to_owned()))
                .collect::<Vec<_>>()
        });
        listeners.collect()
    }

    /// Inodes of the sockets that are bound to a path.
    pub(super) fn unix_listeners(path: &Path) -> Vec<String> {
        let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let path = path.to_string_lossy();
        // The seventh column is the inode; behind it stands the path, which may have spaces.
        table
            .lines()
            .filter_map(|line| {
                let mut columns = line.split_whitespace();
                let inode = columns.nth(6)?;
                let rest = line.rsplit_once(&format!(" {inode} "))?.1;
                (rest == path).then(|| inode.to_owned())
            })
            .collect()
    }

    /// The first process that has one of these sockets open, among those that we may look at.
    pub(super) fn owner_of(inodes: &[String]) -> Option<String> {
        let wanted: Vec<String> = inodes
            .iter()
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        for process in fs::read_dir("/proc").ok()?.flatten() {
            let file_name = process.file_name();
            let Some(pid) = file_name
                .to_str()
                .filter(|name| name.parse::<u32>().is_ok())
            else {
                continue;
            };
            let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
                continue;
            };
            let holds = descriptors
                .flatten()
                .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
                .any(|link| {
                    link.to_str()
                        .is_some_and(|link| wanted.iter().any(|w| w == link))
                });
            if holds {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(format!("{} (pid {pid})", escaped(name.trim_end())));
            }
        }
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found_by_its_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = Address::Tcp(listener.local_addr().expect("bound"));
        let pid = format!("(pid {})", std::process::id());
        assert!(holder_of(&address).is_some_and(|holder| holder.ends_with(&pid)));
        drop(listener);
        assert_eq!(holder_of(&address), None);
    }
}
