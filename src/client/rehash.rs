//! Digests of whole files, taken on threads of their own while the loop goes on sending.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::Item;
use super::jobs::Job;
use super::source::Source;
use crate::proto::Digest;
use crate::reactor::Waker;

/// Files whose digests are being taken.
pub(super) struct Rehash {
    waker: Waker,
    report: Sender<(Job, io::Result<Digest>)>,
    done: Receiver<(Job, io::Result<Digest>)>,
    running: HashMap<u64, Item>,
}

impl Rehash {
    pub(super) fn new(waker: Waker) -> Rehash {
        let (report, done) = channel();
        Rehash {
            waker,
            report,
            done,
            running: HashMap::new(),
        }
    }

    /// Whether no digest is being taken, nor waits to be collected.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Begins to take a file's digest; the loop is woken when it is there.
    pub(super) fn start(&mut self, job: Job) {
        self.running.insert(job.id, job.item.clone());
        let (report, waker) = (self.report.clone(), self.waker.clone());
        thread::spawn(move || {
            let digest = Source::open(&job.item.path, None).and_then(Source::into_digest);
            // Nobody waits for it any more when the sending was given up.
            let _ = report.send((job, digest));
            waker.wake();
        });
    }

    /// A file whose digest is there, or could not be taken.
    pub(super) fn poll(&mut self) -> Option<(Job, io::Result<Digest>)> {
        let (job, digest) = self.done.try_recv().ok()?;
        self.running.remove(&job.id).map(|_| (job, digest))
    }

    /// Forgets those that are still being taken; returns their files.
    pub(super) fn abandon(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.running).into_values().collect()
    }
}
