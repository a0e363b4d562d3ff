//! The bulk workers: what takes long, beside the batches of small files.
//!
//! While a large upload arrives, one starts the writeback of what is there and takes its digest,
//! so that little is left to do when the last byte has come. At the commit it finishes both, and
//! hands the file to the committer, which only has to name it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use super::committer::Job;
use super::digest::{self, Chase};
use super::keep::put_away;
use super::reports::Reports;
use super::root::Root;
use super::unfinished::Unfinished;
use crate::store::{Done, Key};

/// How many there are: so that there is one while the other waits for the disk.
const WORKERS: usize = 2;

/// Work for a bulk worker. An upload that was given up meanwhile needs none, and isn't kept open
/// by what still waits here.
#[derive(Debug)]
pub(super) enum Task {
    /// A large upload has grown to so many bytes.
    Follow(Weak<Chase>, u64),
    /// Make sure that a large upload has room.
    Reserve {
        unfinished: Weak<Unfinished>,
        total: u64,
        key: Key,
    },
    /// A large upload is complete.
    Sync(Job),
    /// An upload that can be resumed was cut off after so many bytes.
    Keep(Kept),
}

/// A file that is open though its connection claims nothing for it any more. Whoever shares out
/// descriptors takes these into account, so there may be as many as there were uploads.
#[derive(Debug)]
pub(super) struct Unclaimed(Arc<AtomicUsize>);

impl Unclaimed {
    /// One more of so many.
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Unclaimed {
        count.fetch_add(1, Ordering::Relaxed);
        Unclaimed(Arc::clone(count))
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An upload that was cut off. Its lock is free when it has been put away.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) unfinished: Arc<Unfinished>,
    /// Whoever may still follow it.
    pub(super) chase: Option<Arc<Chase>>,
    pub(super) length: u64,
    pub(super) _unclaimed: Unclaimed,
}

/// An upload that was given up, and takes long to throw away: the blocks of 50 GiB are given back in
/// more than a second, and a name may have to be off the disk before its file is. A thread does
/// that which does nothing else.
#[derive(Debug)]
pub(super) struct Discard {
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) chase: Option<Arc<Chase>>,
    pub(super) _unclaimed: Unclaimed,
}

/// Starts the workers. Whichever is free takes the next task, so that one upload's long sync
/// doesn't hold up another's.
pub(super) fn start(
    root: &Arc<Root>,
    tasks: Receiver<Task>,
    jobs: &Sender<Vec<Job>>,
    reports: &Reports,
) -> io::Result<Vec<JoinHandle<()>>> {
    let tasks = Arc::new(Mutex::new(tasks));
    let start_one = |_| {
        let (root, jobs, reports) = (Arc::clone(root), jobs.clone(), reports.clone());
        let tasks = Arc::clone(&tasks);
        let run = move || {
            let mut block = digest::block();
            while let Some(task) = next(&tasks) {
                work(&root, task, &jobs, &reports, &mut block);
            }
        };
        thread::Builder::new().name("bulk".into()).spawn(run)
    };
    (0..WORKERS).map(start_one).collect()
}

/// Starts the thread that throws uploads away.
pub(super) fn start_discarding(discards: Receiver<Discard>) -> io::Result<JoinHandle<()>> {
    let run = move || {
        for discard in discards {
            if let Some(chase) = &discard.chase {
                chase.give_up();
            }
            // Dropped, one that can be resumed would stay.
            discard.unfinished.discard();
        }
    };
    thread::Builder::new().name("discard".into()).spawn(run)
}

fn next(tasks: &Mutex<Receiver<Task>>) -> Option<Task> {
    tasks
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

fn work(root: &Root, task: Task, jobs: &Sender<Vec<Job>>, reports: &Reports, block: &mut [u8]) {
    match task {
        Task::Follow(chase, to) => {
            // A read that fails here fails again at the commit, which reports it.
            if let Some(chase) = chase.upgrade()
                && let Err(error) = chase.follow(root, to, block)
            {
                log::debug!("digest of an upload: {error}");
            }
        }
        Task::Reserve {
            unfinished,
            total,
            key,
        } => {
            if let Some(unfinished) = unfinished.upgrade() {
                let reserved = unfinished.reserve(total);
                drop(unfinished);
                reports.send([Done::Reserved(key, reserved)]);
            }
        }
        Task::Keep(kept) => {
            if let Some(chase) = &kept.chase {
                // A worker that still syncs a part of it would be the one to hear that it was lost,
                // or write its record behind the last one.
                chase.end();
            }
            put_away(root, &kept.unfinished, kept.length);
        }
        Task::Sync(mut job) => {
            let key = job.key;
            let twin = job
                .make_safe(root, block)
                .and_then(|()| job.twin(root, block));
            let done = match twin {
                Ok(None) => {
                    // The committer outlives this thread.
                    let _ = jobs.send(vec![job]);
                    return;
                }
                Ok(Some(receipt)) => Done::Found(key, receipt),
                Err(error) => Done::Stored(key, Err(error)),
            };
            // A thread that reads it may hold it a little longer than this one.
            job.unfinished.give_back();
            // First, so that a report finds the file gone.
            drop(job);
            reports.send([done]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;
    use std::sync::mpsc::channel;

    use super::super::record::{self, Facts, Record, State};
    use super::super::tests::{durable, unfit};
    use super::super::unfinished::Partial;
    use super::*;
    use crate::proto::{Name, UploadId};
    use crate::store::Error;

    /// So much that a worker who hears of it syncs it and notes that.
    const LENGTH: u64 = 16 << 20;

    /// A folder with an upload of that length that can be resumed, and that a worker follows.
    struct Bench {
        root: Root,
        unfinished: Arc<Unfinished>,
        chase: Arc<Chase>,
        facts: Facts,
        path: PathBuf,
        _home: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Bench {
            Bench::with(|_, file| file)
        }

        /// The same, and something is done with its file.
        fn with(change: impl FnOnce(&Root, File) -> File) -> Bench {
            let home = tempfile::tempdir().expect("a folder");
            let root = durable(&home);
            let facts = Facts {
                id: UploadId::parse("id").expect("a good id"),
                name: Name::parse("a", Default::default()).expect("a good name"),
                size: None,
            };
            let partial = Partial {
                work: root.shared_work().expect("it can be made"),
                name: facts.upload_name(),
                facts: Some(Box::new(facts.clone())),
            };
            let path = home.path().join(".piecemeal").join(&partial.name);
            let file = File::create_new(&path).expect("it is new");
            file.set_len(LENGTH).expect("a hole");
            let unfinished = Unfinished::new(change(&root, file), Some(partial));
            let unfinished = Arc::new(unfinished);
            let chase = Arc::new(Chase::new(Arc::clone(&unfinished), false));
            Bench {
                root,
                unfinished,
                chase,
                facts,
                path,
                _home: home,
            }
        }

        /// The task of putting the upload away.
        fn keep(&self) -> Task {
            Task::Keep(Kept {
                unfinished: Arc::clone(&self.unfinished),
                chase: Some(Arc::clone(&self.chase)),
                length: LENGTH,
                _unclaimed: Unclaimed::new(&Arc::default()),
            })
        }

        /// A worker hears how long it is.
        fn follow(&self) -> Result<(), Error> {
            self.chase.follow(&self.root, LENGTH, &mut [])
        }

        fn work(&self, task: Task) {
            work(
                &self.root,
                task,
                &channel().0,
                &Reports::new(channel().0),
                &mut [],
            );
        }

        fn record(&self) -> Option<Record> {
            self.facts
                .read(&self.root.shared_work().expect("it is there"))
        }
    }

    #[test]
    fn what_a_worker_still_syncs_is_put_away_when_it_is_known_how_that_ended() {
        let bench = Bench::new();
        let (keep, follows) = (bench.keep(), bench.chase.lock());
        thread::scope(|threads| {
            let (begins, begun) = channel();
            let bench = &bench;
            let keeping = threads.spawn(move || {
                begins.send(()).expect("it is waited for");
                bench.work(keep);
            });
            begun.recv().expect("it begins");
            // Time enough for one that doesn't wait.
            for _ in 0..10_000 {
                if keeping.is_finished() {
                    break;
                }
                thread::yield_now();
            }
            // Only the worker hears of it, since both have one descriptor.
            bench.root.set_failed();
            drop(follows);
        });
        assert!(!bench.path.exists(), "nobody knows what of it was lost");
        assert_eq!(bench.record(), None);
    }

    #[test]
    fn what_was_put_away_stays_so_though_a_worker_comes_late() {
        let bench = Bench::new();
        bench.work(bench.keep());
        bench.follow().expect("nothing is left to do");
        let state = bench.record().expect("it is kept").state;
        assert!(
            matches!(state, State::Closed { length: LENGTH, .. }),
            "{state:?}"
        );
    }

    #[test]
    fn what_is_noted_as_synced_on_the_way_is_not_noted_once_a_sync_has_failed() {
        let bench = Bench::new();
        bench.follow().expect("a good disk");
        let state = bench.record().expect("it is noted").state;
        assert_eq!(state, State::open(LENGTH));
        let bench = Bench::new();
        bench.root.set_failed();
        // Its own sync would succeed.
        let followed = bench.follow();
        assert!(matches!(followed, Err(Error::Failed)), "{followed:?}");
        assert_eq!(bench.record(), None);
    }

    /// The kernel has dropped what it could not write, and tells nobody of it again.
    #[test]
    fn of_an_upload_whose_sync_has_failed_the_next_server_trusts_what_was_synced_before() {
        let bench = Bench::with(|root, _| unfit(root, ".piecemeal/id.upload").into());
        bench.follow().expect_err("it can't be synced");
        assert!(bench.root.has_failed());
        let record = bench.record().expect("it is noted");
        assert_eq!(record.trusted(LENGTH, (0, 0), record::boot()), 0);
    }
}
