//! The texts of /proc: what their columns mean. Pure functions, which take any text.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state LISTEN in /proc/net/tcp.
const LISTEN: &str = "0A";

/// One row of /proc/net/tcp or tcp6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// This machine's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Whether it takes connections.
    pub listens: bool,
    /// Bytes that have come and that its program has not read.
    pub unread: u64,
}

/// Reads a row; `None` where the line is none, as the table's first.
pub fn row(line: &str) -> Option<Row> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [_, local, remote, state, queues, ..] = columns.as_slice() else {
        return None;
    };
    Some(Row {
        local: address(local)?,
        remote: address(remote)?,
        listens: *state == LISTEN,
        unread: u64::from_str_radix(queues.split_once(':')?.1, 16).ok()?,
    })
}

/// An address as these tables have it: words of 32 bits in the machine's own order, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut octets = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    let ip: IpAddr = match octets.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// What matters of /proc/PID/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub pid: u32,
    /// Its parent's number.
    pub parent: u32,
    /// Its group's number.
    pub group: u32,
    /// Processor time that it has taken, in hundredths of a second.
    pub ticks: u32,
}

/// Reads one. The second field is a program's name, which may have spaces and brackets itself.
pub fn stat(text: &str) -> Option<Stat> {
    let (pid, _) = text.split_once(' ')?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: number(1)?,
        group: number(2)?,
        ticks: number(11)?.saturating_add(number(12)?),
    })
}

/// The processes of a group and all their descendants, whichever group those went to.
pub fn tree(group: u32, all: &[Stat]) -> Vec<Stat> {
    let mut pids: BTreeSet<u32> = BTreeSet::new();
    loop {
        let more = all.iter().filter(|stat| {
            !pids.contains(&stat.pid) && (stat.group == group || pids.contains(&stat.parent))
        });
        let more: Vec<u32> = more.map(|stat| stat.pid).collect();
        if more.is_empty() {
            break;
        }
        pids.extend(more);
    }
    let inside = all.iter().filter(|stat| pids.contains(&stat.pid));
    inside.copied().collect()
}

/// Whether a /proc/PID/stat has the state R. It stands behind the name, which may hold anything.
pub fn is_runnable(stat: &str) -> bool {
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with("R "))
}

/// The anonymous memory that a /proc/PID/status tells of, in bytes.
pub fn own_memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_row_of_the_tables_tells_who_talks_to_whom_and_what_is_unread() {
        let row4 =
            "   0: 0100007F:2328 0200007F:D431 01 00000000:0000002A 00:00000000 00000000  1000 0 5";
        let row6 = "   1: 00000000000000000000000000000000:2329 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0";
        assert_eq!(
            row(row4),
            Some(Row {
                local: "127.0.0.1:9000".parse().unwrap(),
                remote: "127.0.0.2:54321".parse().unwrap(),
                listens: false,
                unread: 42,
            })
        );
        let listener = row(row6).unwrap();
        assert!(listener.listens && listener.local == "[::]:9001".parse().unwrap());
        assert_eq!(row("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(row(""), None);
    }

    #[test]
    fn a_program_whose_name_has_brackets_and_spaces_is_read_right() {
        let text = "42 (a ) b) S 7 40 40 0 -1 4194560 9 0 0 0 150 25 0 0 20 0 3 0 1";
        let read = stat(text);
        assert_eq!(
            read,
            Some(Stat {
                pid: 42,
                parent: 7,
                group: 40,
                ticks: 175
            })
        );
        assert_eq!(stat("42 (cut"), None);
        assert!(!is_runnable(text) && is_runnable("42 (a ) S b) R 7 40"));
    }

    #[test]
    fn a_tree_has_its_group_and_what_left_the_group() {
        let of = |pid, parent, group| Stat {
            pid,
            parent,
            group,
            ticks: 0,
        };
        let all = [
            of(10, 1, 10),
            of(11, 10, 10),
            of(12, 11, 12),
            of(13, 12, 13),
            of(99, 1, 99),
        ];
        let pids: Vec<u32> = tree(10, &all).iter().map(|stat| stat.pid).collect();
        assert_eq!(pids, [10, 11, 12, 13]);
    }

    #[test]
    fn memory_is_what_the_process_has_of_its_own() {
        let status = "Name:\tx\nVmRSS:\t  9000 kB\nRssAnon:\t  3000 kB\nRssFile:\t 6000 kB\n";
        assert_eq!(own_memory(status), Some(3000 * 1024));
        assert_eq!(own_memory("Name:\tx\n"), None);
        let more_than_there_is = format!("RssAnon:\t{} kB\n", u64::MAX);
        assert_eq!(own_memory(&more_than_there_is), None);
    }
}
