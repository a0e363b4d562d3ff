//! Digests of whole files that were refused because their names are taken. They are taken one
//! after another while the loop goes on sending: more at a time would have the disk read many
//! files at once, to no gain.

use std::collections::VecDeque;
use std::io;

use super::jobs::Job;
use super::source::{Source, Sources};
use crate::proto::Digest;

/// Files whose digests are being taken.
#[derive(Debug, Default)]
pub(super) struct Rehash {
    waiting: VecDeque<Job>,
    running: Option<(Job, Source)>,
}

impl Rehash {
    /// Whether no digest is being taken, nor waits to be collected.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none()
    }

    /// Has a file's digest taken; the loop is woken when it is there.
    pub(super) fn start(&mut self, job: Job, sources: &Sources) {
        self.waiting.push_back(job);
        sources.hashing.wake();
    }

    /// A file whose digest is there, or could not be taken.
    pub(super) fn poll(&mut self, sources: &mut Sources) -> Option<(Job, io::Result<Digest>)> {
        let (job, source) = match self.running.take() {
            Some(running) => running,
            None => {
                let job = self.waiting.pop_front()?;
                match sources.open_for_digest(&job.item.path) {
                    Ok(source) => (job, source),
                    Err(error) => return Some((job, Err(error))),
                }
            }
        };
        match source.digest() {
            Ok(Some(digest)) => Some((job, Ok(digest))),
            Err(error) => Some((job, Err(error))),
            Ok(None) => {
                self.running = Some((job, source));
                None
            }
        }
    }

    /// Forgets those that are still being taken; returns them.
    pub(super) fn abandon(&mut self) -> Vec<Job> {
        let running = self.running.take().map(|(job, _)| job);
        running.into_iter().chain(self.waiting.drain(..)).collect()
    }
}
