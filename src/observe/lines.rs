//! Lines for people, written by a thread of their own.
//!
//! A pipe that nobody reads blocks who writes to it, and a closed one makes `println!` panic;
//! neither may stop a server. So lines go into a bounded queue, and what doesn't fit is dropped
//! and counted.

use std::io::{self, Write};
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use super::counters::Counters;

/// Lines that may wait. At some 100 bytes a line that is 100 KiB; a message of 4096 bytes that has
/// to be escaped throughout makes a line of some 11 KiB.
const QUEUE: usize = 1024;
/// What stands in the queue behind the last line; a line has at least its own end.
const END: Vec<u8> = Vec::new();
/// How long the end of the program waits for lines that are still queued.
const PATIENCE: Duration = Duration::from_secs(1);

/// A queue of lines whose thread is still to be started: what is said meanwhile is written then.
#[derive(Debug)]
pub struct LineQueue {
    sender: LineSender,
    lines: Receiver<Vec<u8>>,
}

/// The thread that writes, and the queue to it.
#[derive(Debug)]
pub struct LineWriter {
    sender: LineSender,
    /// Disconnected when the thread has ended.
    done: Receiver<()>,
}

/// Puts lines into the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LineSender {
    queue: SyncSender<Vec<u8>>,
    counters: Arc<Counters>,
    /// What makes a line of what is to be said.
    shape: Option<fn(&str) -> String>,
}

impl LineQueue {
    /// An empty one.
    pub fn new(counters: Arc<Counters>) -> LineQueue {
        LineQueue::with_room(counters, QUEUE)
    }

    /// The same with room for so many lines that wait.
    pub fn with_room(counters: Arc<Counters>, room: usize) -> LineQueue {
        let (queue, lines) = sync_channel(room);
        let sender = LineSender {
            queue,
            counters,
            shape: None,
        };
        LineQueue { sender, lines }
    }

    /// What puts lines into the queue.
    pub fn sender(&self) -> LineSender {
        self.sender.clone()
    }

    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(self, name: &str, sink: impl Write + Send + 'static) -> io::Result<LineWriter> {
        let LineQueue { sender, lines } = self;
        let (running, done) = sync_channel(0);
        thread::Builder::new().name(name.into()).spawn(move || {
            write(&lines, sink);
            drop(running);
        })?;
        Ok(LineWriter { sender, done })
    }
}

impl LineWriter {
    /// Starts a thread that writes to `sink`.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(
        name: &str,
        sink: impl Write + Send + 'static,
        counters: Arc<Counters>,
    ) -> io::Result<LineWriter> {
        LineQueue::new(counters).start(name, sink)
    }

    /// What puts lines into the queue.
    pub fn sender(&self) -> LineSender {
        self.sender.clone()
    }

    /// Waits until what is in the queue is written, but not for long: somebody who doesn't read
    /// can't keep the program from ending.
    pub fn finish(self) {
        let LineWriter { sender, done } = self;
        // A logger keeps its sender for ever, so the queue's end has to be said. Where it is too
        // full for that, nobody reads, and the patience decides.
        let _ = sender.queue.try_send(END);
        drop(sender);
        // Nothing is ever sent: this ends with the thread or with the patience.
        let _ = done.recv_timeout(PATIENCE);
    }
}

impl LineSender {
    /// The same, for lines that are first given another shape. What is written through
    /// [`Write`] goes as it is.
    pub fn shaped(self, shape: fn(&str) -> String) -> LineSender {
        let shape = Some(shape);
        LineSender { shape, ..self }
    }

    /// Queues a line, without its end. Drops it where the queue is full.
    pub fn line(&self, line: impl Into<String>) {
        if !self.try_line(line) {
            self.counters.dropped_lines.add(1);
        }
    }

    /// The same, but it counts nothing; returns whether the queue had room.
    pub fn try_line(&self, line: impl Into<String>) -> bool {
        let mut line = line.into();
        if let Some(shape) = self.shape {
            line = shape(&line);
        }
        line.push('\n');
        self.send(line.into_bytes())
    }

    fn send(&self, bytes: Vec<u8>) -> bool {
        match self.queue.try_send(bytes) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// So that a logger can write through the queue: each write is one line.
impl Write for LineSender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An empty line would be taken for the end.
        if !bytes.is_empty() && !self.send(bytes.to_vec()) {
            self.counters.dropped_lines.add(1);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what comes, and flushes when the queue is empty. After an error nobody listens any
/// more: the queue is closed, and lines are counted as dropped.
fn write(lines: &Receiver<Vec<u8>>, sink: impl Write) {
    let mut sink = io::BufWriter::new(sink);
    while let Ok(first) = lines.recv() {
        let mut ended = false;
        let mut result = Ok(());
        for line in iter::once(first).chain(lines.try_iter()) {
            ended |= line == END;
            result = result.and_then(|()| sink.write_all(&line));
        }
        if result.and_then(|()| sink.flush()).is_err() || ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvError, Sender, channel};

    /// A sink that says what it gets and blocks until it is let go on.
    struct Gate {
        got: Sender<Vec<u8>>,
        go_on: Receiver<io::Result<()>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.got.send(bytes.to_vec());
            self.go_on.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A writer whose sink is a gate, and the test's ends of it.
    struct Gated {
        writer: LineWriter,
        seen: Receiver<Vec<u8>>,
        open: Sender<io::Result<()>>,
        counters: Arc<Counters>,
    }

    fn gated() -> Gated {
        let (got, seen) = channel();
        let (open, go_on) = channel();
        let counters = Arc::new(Counters::default());
        let writer = LineWriter::start("lines", Gate { got, go_on }, Arc::clone(&counters));
        Gated {
            writer: writer.expect("a thread"),
            seen,
            open,
            counters,
        }
    }

    #[test]
    fn a_stalled_reader_costs_lines_and_not_time() {
        let Gated {
            writer,
            seen,
            open,
            counters,
        } = gated();
        let lines = writer.sender();
        lines.line("first");
        assert_eq!(seen.recv().expect("it is written"), b"first\n");
        for _ in 0..QUEUE + 10 {
            lines.line("more");
        }
        assert_eq!(counters.dropped_lines.get(), 10);
        drop(open);
        drop(lines);
        writer.finish();
        let rest: usize = seen.iter().map(|bytes| bytes.len()).sum();
        assert_eq!(
            rest,
            QUEUE * b"more\n".len(),
            "the others are all written in the end"
        );
    }

    #[test]
    fn a_sender_that_is_kept_for_ever_does_not_keep_the_end_waiting() {
        let Gated {
            writer, seen, open, ..
        } = gated();
        drop(open);
        let logger = writer.sender();
        logger.line("last");
        writer.finish();
        assert_eq!(seen.try_recv().expect("it is written"), b"last\n");
        // The writing thread has ended, rather than been given up.
        assert_eq!(seen.recv(), Err(RecvError));
    }

    #[test]
    fn a_closed_pipe_ends_the_writing_and_nothing_else() {
        let Gated {
            writer,
            seen,
            open,
            counters,
        } = gated();
        let lines = writer.sender();
        lines.line("first");
        seen.recv().expect("it is written");
        open.send(Err(io::ErrorKind::BrokenPipe.into()))
            .expect("the gate waits");
        while counters.dropped_lines.get() == 0 {
            lines.line("more");
        }
        drop(open);
        drop(lines);
        writer.finish();
    }
}
