//! The files of one sending, and what has become of each: every file has exactly one outcome.

use std::collections::{HashMap, VecDeque};
use std::io;

use rustix::io::Errno;

use super::rehash::Rehash;
use super::source::{Facts, Source, Sources};
use super::{Failure, Item, Progress, Report, Why};
use crate::proto::name::{Name, NameRules};
use crate::proto::reply::Refusal;
use crate::proto::sender::Check;
use crate::proto::{Code, Digest, Receipt};

/// A file to be sent.
#[derive(Debug)]
pub(super) struct Job {
    /// Names one try: a file that is announced once more gets another.
    pub(super) id: u64,
    /// Which of the files given it is: the order that the report has.
    position: usize,
    pub(super) item: Item,
    /// Its digest, where that was taken before: then it is announced with the name.
    pub(super) digest: Option<Digest>,
}

/// Whether there are descriptors to open files with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Descriptors {
    Enough,
    /// A file waits in the queue for want of one.
    Lacking,
    /// So it was, and a file has had its outcome since.
    Freed,
}

/// A file that was begun.
#[derive(Debug)]
struct Begun {
    job: Job,
    /// Whether its digest was announced with its name.
    announced: bool,
    /// What it was like then, where it is read while it is sent.
    facts: Option<Facts>,
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
    pub(super) fn begin(&mut self) -> Option<(u64, Item, Source)> {
        while let Some(job) = self.queue.pop_front() {
            match self.sources.open(&job.item.path, job.digest) {
                Err(error) if lacks_descriptors(&error) && !self.under_way.is_empty() => {
                    self.descriptors = Descriptors::Lacking;
                    self.queue.push_front(job);
                    return None;
                }
                Err(error) => self.fail(job, Why::Local(error.to_string())),
                Ok(source) => {
                    self.progress.begun(&job.item, source.size());
                    let (id, item) = (job.id, job.item.clone());
                    let begun = Begun {
                        job,
                        announced: matches!(source.check(), Check::Known(_)),
                        facts: source.facts(),
                    };
                    self.under_way.insert(id, begun);
                    return Some((id, item, source));
                }
            }
        }
        None
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

    pub(super) fn moved(&mut self, bytes: u64) {
        self.progress.moved(bytes);
    }

    pub(super) fn connected(&mut self, to: &crate::net::Address) {
        self.progress.connected(to);
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
    /// with its digest, and the server says.
    pub(super) fn refused(&mut self, id: u64, refusal: Refusal) {
        let Some(begun) = self.ended(id) else { return };
        let has_changed = |facts: Facts| facts.has_changed(&begun.job.item.path);
        match refusal.code {
            Some(Code::Exists) if !begun.announced => self.rehash.start(begun.job, &self.sources),
            Some(Code::Digest) if begun.facts.is_some_and(has_changed) => {
                self.fail(begun.job, Why::Changed(refusal));
            }
            _ => self.fail(begun.job, Why::Refused(refusal)),
        }
    }

    /// A file that was begun is to be begun again, on another connection.
    pub(super) fn again(&mut self, id: u64) {
        if let Some(begun) = self.ended(id) {
            self.push(begun.job);
        }
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
