//! What the system knows of a server: its descriptors, its memory, its sockets.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::{GUARD, Server};

impl Server {
    /// Descriptors that it has open. 0 where there is no /proc.
    pub(crate) fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid().as_raw_nonzero()));
        open.map_or(0, Iterator::count)
    }

    /// The same, once it has made what all connections share and makes only when it is needed: a pipe
    /// for large bodies, and the work folder for what can be resumed.
    pub(crate) fn descriptors_when_warm(&self) -> usize {
        const SHARED: usize = 3;
        let cold = self.descriptors();
        let mut client = self.client();
        client.upload("warm", &vec![7; 1 << 20]);
        client.send([super::put("name=warmer\nupload=warm"), super::data("b")].concat());
        client.ok();
        client.receipt("warmer", 1);
        drop(client);
        for name in ["warm", "warmer"] {
            fs::remove_file(self.path(name)).expect("it was stored");
        }
        self.settles_to(cold + SHARED);
        self.descriptors()
    }

    /// Its processor time in seconds, so far.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        let stat = fs::read_to_string(stat).unwrap_or_default();
        let numbers = stat.rsplit(')').next().unwrap_or_default();
        let ticks = numbers.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|text| text.parse::<f64>().ok()).sum();
        ticks / 100.0
    }

    /// A line of its status, like `VmRSS`, in KiB. 0 where there is no /proc.
    pub(crate) fn status_kib(&self, what: &str) -> u64 {
        let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = fs::read_to_string(status).unwrap_or_default();
        let mut lines = status.lines().filter_map(|line| line.strip_prefix(what));
        let number = lines.next().and_then(|rest| {
            let number = rest.trim_start_matches(':').trim().split(' ').next()?;
            number.parse().ok()
        });
        number.unwrap_or(0)
    }

    /// The most bytes that the system holds for one of its TCP connections, as its peer hasn't read
    /// them. 0 where there is no /proc.
    pub(crate) fn most_unread(&self) -> u64 {
        let port = self.address().rsplit(':').next().expect("a port");
        let ours = format!(":{:04X}", port.parse::<u16>().expect("a number"));
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let of_line = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, queues) = (fields.get(1)?, fields.get(4)?);
            let waits = queues
                .split(':')
                .next()
                .filter(|_| local.ends_with(&ours))?;
            u64::from_str_radix(waits, 16).ok()
        };
        sockets.lines().filter_map(of_line).max().unwrap_or(0)
    }

    /// Files in its work folder: uploads that can be resumed, and their records.
    pub(crate) fn partials(&self) -> usize {
        fs::read_dir(self.path(".piecemeal")).map_or(0, Iterator::count)
    }

    /// Uploads a small file, and comes back as long as it is told that there are too many.
    pub(crate) fn upload_when_there_is_room(&self, name: &str) {
        wait_until("there is room", || {
            let mut client = self.client();
            client.send_quietly([super::string(name), super::data("bytes")].concat());
            let reply = client.reply();
            if reply.status() == "ERR busy" {
                return false;
            }
            assert_eq!(reply.text(), "OK");
            client.receipt(name, 5);
            true
        });
    }

    /// Waits until it has no more descriptors than it had.
    pub(crate) fn settles_to(&self, descriptors: usize) {
        wait_until("its descriptors are back", || {
            self.descriptors() <= descriptors
        });
    }
}

/// Waits for something that can only be looked at, and is to come within the guard's time.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(comes_true(is_so), "it never came that {what}");
}

/// The same; whether it has come.
pub(crate) fn comes_true(mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > GUARD {
            return false;
        }
        // Only how often it is looked at; nothing is taken for granted after it.
        thread::sleep(Duration::from_millis(2));
    }
    true
}
