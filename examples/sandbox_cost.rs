//! What the sandbox adds to the system calls of a small file: `cargo run --example sandbox_cost DIR`.
//!
//! The calls are those that a server makes: a message is received, a nameless file is made, written,
//! linked and closed, and an answer is sent. Each round is a process of its own, with the sandbox and
//! without it in turn, and counts its processor time, so that others on the machine disturb little.

#![expect(clippy::print_stdout, reason = "it is run by a person")]

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use piecemeal::sandbox::{self, Access, Place};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::net::SendFlags;
use rustix::time::{ClockId, clock_gettime};

const FILES: u32 = 5000;
const ROUNDS: usize = 15;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [dir] => compare(Path::new(dir)),
        [dir, mode] => {
            println!("{}", round(Path::new(dir), mode == "on")?);
            Ok(())
        }
        _ => Err(io::Error::other("give a folder to make files in")),
    }
}

fn compare(dir: &Path) -> io::Result<()> {
    let measure = |mode: &str| -> io::Result<f64> {
        let folder = tempfile::tempdir_in(dir)?;
        let own = std::env::current_exe()?;
        let output = Command::new(own).arg(folder.path()).arg(mode).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().map_err(io::Error::other)
    };
    let (mut off, mut on, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let first = if number % 2 == 0 { "off" } else { "on" };
        let second = if first == "off" { "on" } else { "off" };
        let (first_time, second_time) = (measure(first)?, measure(second)?);
        let (without, with) = match first {
            "off" => (first_time, second_time),
            _ => (second_time, first_time),
        };
        off.push(without);
        on.push(with);
        ratios.push(with / without);
    }
    println!(
        "processor time a file: {:.2} µs without, {:.2} µs with; ratio {:.3}, {:.3} to {:.3}",
        median(&mut off),
        median(&mut on),
        median(&mut ratios),
        ratios[0],
        ratios[ROUNDS - 1],
    );
    Ok(())
}

/// Microseconds of processor time a file.
fn round(dir: &Path, sandboxed: bool) -> io::Result<f64> {
    let (mut server, mut client) = UnixStream::pair()?;
    let place = Place {
        path: dir.to_owned(),
        access: Access::Store,
    };
    if sandboxed {
        let report = sandbox::enter(&[place]);
        if !report.is_whole() {
            return Err(io::Error::other(report.to_string()));
        }
    }
    let folder = rustix::fs::open(dir, OFlags::DIRECTORY, Mode::empty())?;
    let (body, mut message) = ([7; 4096], [0; 64]);
    let before = clock_gettime(ClockId::ProcessCPUTime);
    for number in 0..FILES {
        client.write_all(&message)?;
        server.read_exact(&mut message)?;
        let flags = OFlags::RDWR | OFlags::TMPFILE;
        let file = rustix::fs::openat(&folder, ".", flags, Mode::RUSR)?;
        rustix::io::write(&file, &body)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let name = number.to_string();
        rustix::fs::linkat(CWD, path, &folder, name, AtFlags::SYMLINK_FOLLOW)?;
        drop(file);
        // This one's arguments are looked at each time.
        rustix::net::send(&server, &message, SendFlags::empty())?;
        client.read_exact(&mut message)?;
    }
    let after = clock_gettime(ClockId::ProcessCPUTime);
    let us = (after.tv_sec - before.tv_sec) * 1_000_000 + (after.tv_nsec - before.tv_nsec) / 1000;
    Ok(us as f64 / f64::from(FILES))
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
