//! The files of one sending, and what has become of each: every file has exactly one outcome.

mod job;

use std::collections::{HashMap, VecDeque};
use std::io;

use rustix::io::Errno;

use super::rehash::Rehash;
use super::source::Sources;
use super::stream::{Broken, Feed, Outlet};
use super::supply::Supply;
use super::{Anew, Failure, Item, Progress, Report, Retry, Why};
use crate::proto::name::{Name, NameRules};
use crate::proto::reply::Refusal;
use crate::proto::sender::Check;
use crate::proto::{Code, Digest, Receipt};
pub(super) use job::{Announcement, Job, Start};
use job::{Begun, Past};

/// Whether there are descriptors to open files with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Descriptors {
    Enough,
    /// A file waits in the queue for want of one.
    Lacking,
    /// So it was, and a file has had its outcome since.
    Freed,
}

/// All files of one sending.
pub(super) struct Jobs<'a> {
    progress: &'a mut dyn Progress,
    /// Files that are to be begun.
    queue: VecDeque<Job>,
    /// Files that were begun, and whose outcome isn't known.
    under_way: HashMap<u64, Begun>,
    sources: Sources,
    rehash: Rehash,
    descriptors: Descriptors,
    next_id: u64,
    /// What failed, and which of the files given that was.
    failures: Vec<(usize, Failure)>,
    report: Report,
}

impl<'a> Jobs<'a> {
    /// Takes the files, but for those whose names no server would take.
    pub(super) fn new(
        items: Vec<Item>,
        progress: &'a mut dyn Progress,
        sources: Sources,
    ) -> Jobs<'a> {
        let mut jobs = Jobs {
            progress,
            queue: VecDeque::new(),
            under_way: HashMap::new(),
            sources,
            rehash: Rehash::default(),
            descriptors: Descriptors::Enough,
            next_id: 0,
            failures: Vec::new(),
            report: Report::default(),
        };
        // A server may allow less than this, and then says so.
        let rules = NameRules {
            allow_hidden: true,
            allow_folders: true,
        };
        for (position, item) in items.into_iter().enumerate() {
            let job = Job {
                id: 0,
                position,
                item,
                digest: None,
                past: Past::default(),
            };
            match Name::parse(&job.item.name, rules) {
                Ok(_) => jobs.push(job),
                Err(fault) => {
                    let name = job.item.name.clone();
                    jobs.fail(job, Why::Name { name, fault });
                }
            }
        }
        jobs
    }

    /// Files that wait for a connection.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether a file can be begun now, as far as is known.
    pub(super) fn can_begin(&self) -> bool {
        !self.queue.is_empty() && self.descriptors != Descriptors::Lacking
    }

    /// Whether no file will wait for a connection any more.
    pub(super) fn are_all_begun(&self) -> bool {
        self.queue.is_empty() && self.rehash.is_idle()
    }

    /// The next file, open to be sent. Those that can't be opened fail. Where only descriptors are
    /// lacking, it is the next one again once one that is under way has had its outcome.
    pub(super) fn begin(&mut self) -> Option<Start> {
        while let Some(mut job) = self.queue.pop_front() {
            if let Some(feed) = &self.sources.stream {
                let source = Supply::Stream(Outlet::new(feed.clone()));
                return Some(self.start(job, source, None));
            }
            match self.sources.open(&job.item.path, job.digest) {
                Err(error) if lacks_descriptors(&error) && !self.under_way.is_empty() => {
                    self.descriptors = Descriptors::Lacking;
                    self.queue.push_front(job);
                    return None;
                }
                Err(error) => self.fail(job, Why::Local(error.to_string())),
                Ok(source) if job.has_changed(source.facts()) => {
                    // What is known of it is known of another file.
                    self.progress.anew(&job.item, Anew::Changed);
                    job.digest = None;
                    job.past = Past::default();
                    self.queue.push_front(job);
                }
                Ok(source) => {
                    job.past.facts = source.facts();
                    let announcement = Announcement {
                        size: source.size(),
                        check: source.check(),
                        facts: source.facts(),
                        metadata: source.metadata(),
                    };
                    return Some(self.start(job, Supply::File(source), Some(announcement)));
                }
            }
        }
        None
    }

    fn start(&mut self, job: Job, source: Supply, announcement: Option<Announcement>) -> Start {
        let known = |file: &Announcement| matches!(file.check, Check::Known(_));
        let start = Start {
            id: job.id,
            name: job.item.name.clone(),
            source,
            announcement,
        };
        let size = announcement.map(|file| file.size);
        self.progress.begun(&job.item, size);
        let begun = Begun {
            announced: announcement.as_ref().is_some_and(known),
            job,
            resumed_from: 0,
            moved: 0,
        };
        self.under_way.insert(start.id, begun);
        start
    }

    /// Whether connections that lacked a descriptor for their next file may find one now. Says so
    /// once.
    pub(super) fn can_begin_again(&mut self) -> bool {
        let again = self.descriptors == Descriptors::Freed;
        if again {
            self.descriptors = Descriptors::Enough;
        }
        again
    }

    /// So many bytes of a file were handed to the system.
    pub(super) fn moved(&mut self, id: u64, bytes: u64) {
        if let Some(begun) = self.under_way.get_mut(&id) {
            begun.moved += bytes;
        }
        self.progress.moved(bytes);
    }

    pub(super) fn connected(&mut self, to: &crate::net::Address) {
        self.progress.connected(to);
    }

    /// Another try is about to be made.
    pub(super) fn retrying(&mut self, retry: &Retry<'_>) {
        self.progress.retrying(retry);
    }

    /// The server has the bytes of a file before this offset. Returns whether those are more than
    /// it had before.
    pub(super) fn resumed(&mut self, id: u64, offset: u64) -> bool {
        let Some(begun) = self.under_way.get_mut(&id) else {
            return false;
        };
        begun.resumed_from = offset;
        begun.moved += offset;
        let past = &mut begun.job.past;
        let has_moved_on = offset > past.reached;
        if has_moved_on {
            past.reached = offset;
            past.lost = 0;
        }
        self.progress.resumed(&begun.job.item, offset);
        has_moved_on
    }

    pub(super) fn stored(&mut self, id: u64, receipt: &Receipt) {
        if let Some(begun) = self.ended(id) {
            self.report.stored += 1;
            self.report.stored_bytes += receipt.size;
            self.progress.stored(&begun.job.item, receipt);
        }
    }

    /// A file was refused. Where its name is taken, and its digest wasn't announced with it, the
    /// file that is there may be this very one, from an earlier try: it is announced once more,
    /// with its digest, and the server says. Where the whole has another digest, what the server
    /// had of it may be to blame: it is sent from its start, once.
    pub(super) fn refused(&mut self, id: u64, refusal: Refusal) {
        let Some(begun) = self.ended(id) else { return };
        let Begun { job, moved, .. } = begun;
        match refusal.code {
            // A stream can't be looked at again.
            Some(Code::Exists) if !begun.announced && self.sources.stream.is_none() => {
                self.progress.taken_back(moved);
                self.rehash.start(job, &self.sources);
            }
            Some(Code::Digest) if begun.resumed_from > 0 && !job.past.is_anew => {
                self.progress.taken_back(moved);
                self.progress.anew(&job.item, Anew::Digest);
                let past = Past {
                    is_anew: true,
                    ..Past::default()
                };
                self.push(Job {
                    digest: None,
                    past,
                    ..job
                });
            }
            Some(Code::Digest) if job.was_written_to() => self.fail(job, Why::Changed(refusal)),
            _ => self.fail(job, Why::Refused(refusal)),
        }
    }

    /// A file that was begun is to be begun again, on another connection: it was not its turn, or
    /// nothing was taken of it. Fails where there is nothing left to begin again with.
    pub(super) fn again(&mut self, id: u64, why: &Why) {
        if let Some(begun) = self.ended(id) {
            self.progress.taken_back(begun.moved);
            match self.sources.stream.as_ref().is_none_or(Feed::is_whole) {
                true => self.push(begun.job),
                false => self.fail(begun.job, Why::Gone(Box::new(why.clone()))),
            }
        }
    }

    /// A file was lost with its connection. It is to be begun again, up to so many times in a row
    /// without having come further. `sealed` is the digest behind its bytes, if that was sent: it
    /// may be stored, and whoever announces that digest with it will know.
    pub(super) fn lost_on_the_way(
        &mut self,
        id: u64,
        sealed: Option<Digest>,
        retries: u32,
        why: &Why,
    ) {
        let Some(begun) = self.under_way.get_mut(&id) else {
            return;
        };
        let job = &mut begun.job;
        job.past.lost += 1;
        job.digest = sealed.filter(|_| job.past.facts.is_some()).or(job.digest);
        if job.past.lost > retries {
            self.lost(id, why.clone());
        } else {
            self.again(id, why);
        }
    }

    /// Whether a file was begun, and has no outcome yet.
    pub(super) fn is_under_way(&self, id: u64) -> bool {
        self.under_way.contains_key(&id)
    }

    /// What of these is under way, if that is one file.
    pub(super) fn the_only_one(&self, ids: &[u64]) -> Option<Item> {
        match ids {
            [id] => self.under_way.get(id).map(|begun| begun.job.item.clone()),
            _ => None,
        }
    }

    /// What is being sent can't be read any more.
    pub(super) fn source_failed(&mut self, id: u64, error: &io::Error) {
        let why = match self.sources.stream.as_ref().and_then(Feed::broken) {
            Some(Broken::Command(how)) => Why::Command(how),
            _ => Why::Local(error.to_string()),
        };
        self.lost(id, why);
    }

    /// Takes back the files whose digests were taken meanwhile.
    pub(super) fn collect_rehashed(&mut self) {
        while let Some((job, digest)) = self.rehash.poll(&mut self.sources) {
            match digest {
                Ok(digest) => self.push(Job {
                    digest: Some(digest),
                    ..job
                }),
                // It is announced anew, and its digest is taken when it is refused again.
                Err(error) if lacks_descriptors(&error) && !self.under_way.is_empty() => {
                    self.push(job);
                }
                Err(error) => self.fail(job, Why::Local(error.to_string())),
            }
        }
    }

    /// A file that was begun fails.
    pub(super) fn lost(&mut self, id: u64, why: Why) {
        if let Some(begun) = self.ended(id) {
            self.fail(begun.job, why);
        }
    }

    /// Every file that waits for a connection fails.
    pub(super) fn fail_queued(&mut self, why: &Why) {
        for job in std::mem::take(&mut self.queue) {
            self.fail(job, why.clone());
        }
    }

    /// The outcome of it all. No file is left without one, whatever happened.
    pub(super) fn finish(mut self) -> Report {
        for id in self.under_way.keys().copied().collect::<Vec<_>>() {
            self.lost(id, Why::Lost("it ended early".to_owned()));
        }
        self.failures.sort_by_key(|(position, _)| *position);
        let failures = self.failures.into_iter().map(|(_, failure)| failure);
        self.report.failures = failures.collect();
        self.report
    }

    /// Whether a signal has ended the sending.
    pub(super) fn is_signalled(&self) -> bool {
        self.report.signal.is_some()
    }

    /// Gives up: a signal came.
    pub(super) fn signalled(&mut self, signal: i32) {
        self.report.signal = Some(signal);
        self.fail_queued(&Why::Signal);
        for begun in std::mem::take(&mut self.under_way).into_values() {
            self.fail(begun.job, Why::Signal);
        }
        for job in self.rehash.abandon() {
            self.fail(job, Why::Signal);
        }
    }

    /// A file is under way no more.
    fn ended(&mut self, id: u64) -> Option<Begun> {
        let begun = self.under_way.remove(&id);
        if self.descriptors == Descriptors::Lacking {
            self.descriptors = Descriptors::Freed;
        }
        begun
    }

    fn push(&mut self, job: Job) {
        let id = self.next_id;
        self.next_id += 1;
        self.queue.push_back(Job { id, ..job });
    }

    fn fail(&mut self, job: Job, why: Why) {
        let failure = Failure {
            item: job.item,
            why,
        };
        self.progress.failed(&failure);
        self.failures.push((job.position, failure));
    }
}

/// Whether a file can't be opened for want of descriptors, the process's or the system's.
fn lacks_descriptors(error: &io::Error) -> bool {
    let lacking = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    lacking.contains(&error.raw_os_error())
}
