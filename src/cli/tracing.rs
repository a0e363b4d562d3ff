//! `--trace` and `--trace-file`: what a server's connections do, told as it happens.
//!
//! A command that serves flattens [`Tracing`] into its arguments, has its machines keep their
//! steps where [`Tracing::is_wanted`], and lets [`Started::watch`] the server before it runs.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use piecemeal::observe::trace::{Record, What};
use piecemeal::observe::{Counters, LineQueue, LineSender, LineWriter};
use piecemeal::proto::text::escaped;
use piecemeal::server::{Protocol, Server};
use piecemeal::store::Store;

/// Records that may wait to be written to the file, at some 100 bytes each.
const QUEUE: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Tracing {
    /// Print what each connection does as it happens: each read, each step of its state machine,
    /// and how many of the bytes that a state needs have come
    #[arg(long, env = "PIECEMEAL_TRACE", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    trace: bool,

    /// Write the same to this file as JSON lines, which `piecemeal trace` draws; a file of this
    /// name is replaced
    #[arg(long, env = "PIECEMEAL_TRACE_FILE", value_name = "FILE")]
    trace_file: Option<PathBuf>,
}

impl Tracing {
    /// Whether anybody is to hear of each step. The log is, at its most detailed.
    pub(super) fn is_wanted(&self) -> bool {
        self.trace || self.trace_file.is_some() || log::log_enabled!(log::Level::Trace)
    }

    /// Whether it goes to standard output.
    pub(super) fn is_printed(&self) -> bool {
        self.trace
    }

    /// Opens the file, if there is to be one.
    ///
    /// # Errors
    /// Where the file can't be written; the error names it.
    pub(super) fn open(&self) -> io::Result<Opened> {
        let file = self.trace_file.as_deref().map(create);
        Ok(Opened {
            wanted: self.is_wanted(),
            printed: self.trace,
            file: file.transpose()?,
        })
    }
}

/// The file is there, and the thread that writes it is not.
#[derive(Debug)]
pub(super) struct Opened {
    wanted: bool,
    printed: bool,
    file: Option<(PathBuf, File)>,
}

impl Opened {
    /// Starts to write. Lines go to `out`.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(super) fn start(self, out: &LineSender) -> io::Result<Started> {
        let file = self.file.map(|(path, file)| TraceFile::start(path, file));
        Ok(Started {
            wanted: self.wanted,
            out: self.printed.then(|| out.clone()),
            file: file.transpose()?,
        })
    }
}

/// Where records go.
#[derive(Debug)]
pub(super) struct Started {
    wanted: bool,
    out: Option<LineSender>,
    file: Option<TraceFile>,
}

impl Started {
    /// Has a server tell what happens. One that nobody watches is left alone.
    pub(super) fn watch<S: Store, P: Protocol>(&self, server: &mut Server<S, P>) {
        if !self.wanted {
            return;
        }
        let out = self.out.clone();
        let mut file = self.file.as_ref().map(TraceFile::records);
        server.on_trace(move |record| {
            log::trace!("{record}");
            if let Some(out) = &out {
                out.line(record.to_string());
            }
            if let Some(file) = &mut file {
                file.write(record);
            }
        });
    }

    /// Writes what is still to be written, once the server has ended, and says what is missing.
    pub(super) fn finish(self, err: &LineSender) {
        let Some(TraceFile {
            path,
            writer,
            failed,
            dropped,
        }) = self.file
        else {
            return;
        };
        writer.finish();
        let shown = escaped(path.as_os_str().as_encoded_bytes());
        if let Some(error) = failed.get() {
            err.line(format!(
                "piecemeal: the trace in {shown} is cut off: {error}"
            ));
        } else if let dropped @ 1.. = dropped.load(Ordering::Relaxed) {
            err.line(format!(
                "the trace in {shown} has gaps: {dropped} records came faster than it could be written"
            ));
        }
    }
}

/// The file, and the thread that writes it.
#[derive(Debug)]
struct TraceFile {
    path: PathBuf,
    writer: LineWriter,
    /// Why it could not be written any further.
    failed: Arc<OnceLock<io::Error>>,
    dropped: Arc<AtomicU64>,
}

fn create(path: &Path) -> io::Result<(PathBuf, File)> {
    let file = File::create(path).map_err(|error| {
        let shown = escaped(path.as_os_str().as_encoded_bytes());
        let text =
            format!("can't write the trace file {shown}: {error}; choose another --trace-file");
        io::Error::new(error.kind(), text)
    })?;
    Ok((path.to_owned(), file))
}

impl TraceFile {
    fn start(path: PathBuf, file: File) -> io::Result<TraceFile> {
        let failed = Arc::default();
        let sink = Remembering {
            file,
            failed: Arc::clone(&failed),
        };
        // What a file lacks is counted here, by record: dropped lines are those for people.
        let counters = Arc::<Counters>::default();
        Ok(TraceFile {
            path,
            writer: LineQueue::with_room(counters, QUEUE).start("trace", sink)?,
            failed,
            dropped: Arc::default(),
        })
    }

    fn records(&self) -> Records {
        Records {
            lines: self.writer.sender(),
            missing: 0,
            dropped: Arc::clone(&self.dropped),
        }
    }
}

/// Writes records, and where some had to be left out, says so in their place.
struct Records {
    lines: LineSender,
    missing: u64,
    dropped: Arc<AtomicU64>,
}

impl Records {
    fn write(&mut self, record: &Record) {
        if self.missing > 0 {
            let gap = Record {
                at_us: record.at_us,
                connection: 0,
                what: What::Missing {
                    records: self.missing,
                },
            };
            if self.lines.try_line(gap.to_json()) {
                self.missing = 0;
            }
        }
        if self.missing > 0 || !self.lines.try_line(record.to_json()) {
            self.missing += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A file that remembers its first error, which the thread that writes has nobody to tell.
struct Remembering {
    file: File,
    failed: Arc<OnceLock<io::Error>>,
}

impl Remembering {
    fn remember<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            // Only the first matters, and only one thread writes.
            let _ = self.failed.set(error);
            kind.into()
        })
    }
}

impl Write for Remembering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.remember(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.flush();
        self.remember(flushed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A sink that waits to be let go on before it writes.
    struct Gate(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_the_file_is_too_slow_for_is_a_gap_that_it_shows() {
        let (go_on, gate) = channel();
        let (written, lines) = channel();
        let queue = LineQueue::with_room(Arc::default(), 1);
        let writer = queue.start("trace", Gate(gate, written));
        let writer = writer.expect("a thread");
        let mut records = Records {
            lines: writer.sender(),
            missing: 0,
            dropped: Arc::default(),
        };
        let mut at_us = 0;
        let mut write = |records: &mut Records| {
            at_us += 1;
            records.write(&Record {
                at_us,
                connection: 1,
                what: What::End,
            });
        };
        // The writer holds what it took, the queue holds one, and the others find no room.
        while records.missing < 3 {
            write(&mut records);
        }
        let left_out = records.missing;
        drop(go_on);
        while records.missing > 0 {
            write(&mut records);
        }
        assert!(records.dropped.load(Ordering::Relaxed) >= left_out);
        drop(records);
        writer.finish();
        let text: Vec<u8> = lines.try_iter().flatten().collect();
        let records = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| Record::from_json(line).expect("a record"));
        let counted: u64 = records
            .map(|record| match record.what {
                What::Missing { records } => records,
                _ => 1,
            })
            .sum();
        // The last may still have stood in the queue when the writer had to end.
        assert!(counted.abs_diff(at_us) <= 1, "{counted} of {at_us}");
    }
}
