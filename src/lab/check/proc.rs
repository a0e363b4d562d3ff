//! What Linux tells of a server from outside, in /proc: whether its port listens, whether it has
//! read what was sent, and how much memory and processor time its processes take.
//!
//! Elsewhere there is no /proc, and each question is answered by `None`.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::diag;

/// Where the kernel lists the sockets of this machine.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The state LISTEN in /proc/net/tcp.
const LISTEN: &str = "0A";
/// The unit of processor times in /proc: 1/100 s on every Linux, whatever its clock.
const TICK: Duration = Duration::from_millis(10);

/// One row of /proc/net/tcp or tcp6.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    listens: bool,
    unread: u64,
}

/// Whether somebody on this machine listens at an address. `None` where that can't be seen: then
/// only connecting tells, which some servers don't bear.
pub fn listens(address: SocketAddr) -> Option<bool> {
    if !address.ip().to_canonical().is_loopback() {
        return None;
    }
    if let Ok(known) = diag::look_up(address, None) {
        return Some(known.is_some_and(|known| known.listens));
    }
    let fits = |row: &Row| {
        let (ip, wanted) = (row.local.ip().to_canonical(), address.ip().to_canonical());
        row.listens && row.local.port() == address.port() && (ip == wanted || ip.is_unspecified())
    };
    let mut tables = TABLES.iter().filter_map(|table| rows(table)).peekable();
    // Without a single table there is nothing to be seen.
    tables.peek()?;
    Some(tables.flatten().any(|row| fits(&row)))
}

/// How many bytes that we sent from `ours` the program at `theirs` has not read yet. `None` where
/// that can't be seen.
pub fn unread(ours: SocketAddr, theirs: SocketAddr) -> Option<u64> {
    if let Ok(known) = diag::look_up(theirs, Some(ours)) {
        let connection = known.filter(|known| !known.listens)?;
        return Some(connection.unread.into());
    }
    let same = |a: SocketAddr, b: SocketAddr| {
        a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
    };
    // Each table takes the kernel milliseconds to write, so the likelier one is asked first. A
    // server that listens for both kinds of addresses has its rows in the second.
    let tables = match ours {
        SocketAddr::V4(_) => [TABLES[0], TABLES[1]],
        SocketAddr::V6(_) => [TABLES[1], TABLES[0]],
    };
    tables.into_iter().find_map(|table| {
        let rows = rows(table)?;
        let mut found = rows.iter();
        let row = found.find(|row| same(row.local, theirs) && same(row.remote, ours))?;
        Some(row.unread)
    })
}

fn rows(table: &str) -> Option<Vec<Row>> {
    let text = fs::read_to_string(table).ok()?;
    Some(text.lines().filter_map(row).collect())
}

fn row(line: &str) -> Option<Row> {
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
struct Stat {
    pid: u32,
    parent: u32,
    group: u32,
    ticks: u32,
}

/// Reads one. The second field is a program's name, which may have spaces and brackets itself.
fn stat(text: &str) -> Option<Stat> {
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
fn tree(group: u32, all: &[Stat]) -> Vec<Stat> {
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

fn all_stats() -> Option<Vec<Stat>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let texts = entries
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    Some(texts.filter_map(|text| stat(&text)).collect())
}

/// Processor time that the processes of a group have taken so far.
pub fn cpu_time(group: u32) -> Option<Duration> {
    let tree = tree(group, &all_stats()?);
    let ticks = tree.iter().map(|stat| stat.ticks).sum();
    (!tree.is_empty()).then_some(TICK * ticks)
}

/// Whether a thread of a group's processes runs at this moment, or would if a core were free.
pub fn wants_a_core(group: u32) -> Option<bool> {
    let tree = tree(group, &all_stats()?);
    let folders = tree
        .iter()
        .filter_map(|stat| fs::read_dir(format!("/proc/{}/task", stat.pid)).ok());
    let mut threads = folders.flatten().flatten();
    Some(threads.any(|thread| {
        let text = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        is_runnable(&text)
    }))
}

/// Whether a /proc/PID/stat has the state R. It stands behind the name, which may hold anything.
fn is_runnable(stat: &str) -> bool {
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with("R "))
}

/// Bytes of memory of their own that the processes of a group hold; what the kernel keeps of their
/// files for them doesn't count.
pub fn memory(group: u32) -> Option<u64> {
    let tree = tree(group, &all_stats()?);
    let status = |stat: &Stat| fs::read_to_string(format!("/proc/{}/status", stat.pid)).ok();
    let sizes: Vec<u64> = tree
        .iter()
        .filter_map(status)
        .filter_map(|text| own_memory(&text))
        .collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

/// The anonymous memory that a /proc/PID/status tells of, in bytes.
fn own_memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
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
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_port_listens_until_it_is_closed_and_unread_bytes_are_seen() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listens(address), Some(true));
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"seven b").unwrap();
        let ours = stream.local_addr().unwrap();
        // The bytes cross the loopback before write returns.
        assert_eq!(unread(ours, address), Some(7));
        drop((stream, listener));
        assert_eq!(listens(address), Some(false));
    }
}
