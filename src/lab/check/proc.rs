//! What Linux tells of a server from outside, in /proc: whether its port listens, whether it has
//! read what was sent, and how much memory and processor time its processes take.
//!
//! Elsewhere there is no /proc, and each question is answered by `None`. What its files say is read
//! in [`text`].

pub mod text;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use super::diag;
use text::{Row, Stat, is_runnable, own_memory, row, stat, tree};

/// Where the kernel lists the sockets of this machine.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The unit of processor times in /proc: 1/100 s on every Linux, whatever its clock.
const TICK: Duration = Duration::from_millis(10);

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
    let ticks = tree.iter().map(|stat| stat.ticks);
    let ticks = ticks.fold(0, u32::saturating_add);
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

#[cfg(test)]
mod tests {
    use super::*;

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
