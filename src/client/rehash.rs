//! Digests of whole files, taken one after another on a thread of its own while the loop goes on
//! sending.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::jobs::Job;
use super::source::Source;
use crate::proto::Digest;
use crate::reactor::Waker;

/// A file to be read, by its job's number.
type Task = (u64, PathBuf);
/// What came of it.
type Outcome = (u64, io::Result<Digest>);

/// Files whose digests are being taken.
pub(super) struct Rehash {
    waker: Waker,
    /// The thread's ends, once there was something for it to do. More threads would have the disk
    /// read many files at once, to no gain.
    worker: Option<(Sender<Task>, Receiver<Outcome>)>,
    running: HashMap<u64, Job>,
}

impl Rehash {
    pub(super) fn new(waker: Waker) -> Rehash {
        Rehash {
            waker,
            worker: None,
            running: HashMap::new(),
        }
    }

    /// Whether no digest is being taken, nor waits to be collected.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Has a file's digest taken; the loop is woken when it is there. Fails where there is no
    /// thread for it.
    pub(super) fn start(&mut self, job: Job) -> Result<(), (Job, io::Error)> {
        let (tasks, _) = match &mut self.worker {
            Some(worker) => worker,
            none => match start_worker(self.waker.clone()) {
                Ok(worker) => none.insert(worker),
                Err(error) => return Err((job, error)),
            },
        };
        if tasks.send((job.id, job.item.path.clone())).is_err() {
            return Err((job, io::Error::other("the thread that reads it has died")));
        }
        self.running.insert(job.id, job);
        Ok(())
    }

    /// A file whose digest is there, or could not be taken.
    pub(super) fn poll(&mut self) -> Option<(Job, io::Result<Digest>)> {
        let (_, outcomes) = self.worker.as_ref()?;
        let (id, digest) = outcomes.try_recv().ok()?;
        self.running.remove(&id).map(|job| (job, digest))
    }

    /// Forgets those that are still being taken; returns them. The thread ends after the file that
    /// it is at.
    pub(super) fn abandon(&mut self) -> Vec<Job> {
        self.worker = None;
        std::mem::take(&mut self.running).into_values().collect()
    }
}

fn start_worker(waker: Waker) -> io::Result<(Sender<Task>, Receiver<Outcome>)> {
    let (tasks, to_do) = channel::<Task>();
    let (done, outcomes) = channel();
    thread::Builder::new()
        .name("rehash".to_owned())
        .spawn(move || {
            for (id, path) in to_do {
                let digest = Source::open(&path, None).and_then(Source::into_digest);
                // Nobody waits for it any more when the sending was given up.
                if done.send((id, digest)).is_err() {
                    return;
                }
                waker.wake();
            }
        })?;
    Ok((tasks, outcomes))
}
