//! How the model store commits: what waits is one batch; its files are made safe, get their names,
//! and one sync of the folder is for them all. Any step may take long, fail, or be the last before
//! the power goes.

use piecemeal::proto::{Conflict, Moment, Receipt, Seal};
use piecemeal::store::{Done, Error, Key};
use rand::RngExt;
use rand::distr::Alphanumeric;

use super::core::{Core, Work};
use super::disk::failed;
use super::store::SMALL;

/// An upload that is to get its name.
#[derive(Debug)]
pub(crate) struct Job {
    number: u64,
    seal: Seal,
    key: Key,
    /// Whether its bytes are safe, and how it has failed.
    is_synced: bool,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Unknown,
    Placed(Receipt),
    /// The very file was there.
    Found(Receipt),
    Failed(Error),
}

/// What is committed together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) due: Moment,
    stage: Stage,
    jobs: Vec<Job>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    SyncFiles,
    Names,
    SyncFolder,
}

impl Core {
    pub(super) fn commit(&mut self, number: u64, seal: Seal, key: Key) {
        let job = Job {
            number,
            seal,
            key,
            is_synced: false,
            outcome: Outcome::Unknown,
        };
        if let Some(open) = self.open.get_mut(&number) {
            open.is_complete = true;
        }
        // A large one is synced beside the batches, so that they don't wait for it.
        match seal.size > SMALL {
            true => self.add(Work::Sync(job)),
            false => self.complete.push(job),
        }
    }

    pub(super) fn sync_large(&mut self, mut job: Job) {
        self.make_safe(&mut job);
        self.waiting.push_back(job);
    }

    fn make_safe(&mut self, job: &mut Job) {
        if job.is_synced {
            return;
        }
        job.is_synced = true;
        let open = &self.open[&job.number];
        let inode = open.inode.expect("it was written");
        let disk = &mut *self.disk.borrow_mut();
        let checked = if self.has_failed {
            Err(Error::Failed)
        } else if open.written != job.seal.size || disk.length(inode) as u64 != job.seal.size {
            Err(failed("count bytes"))
        } else if job.seal.digest.is_some_and(|it| it != disk.digest(inode)) {
            Err(Error::Digest)
        } else if self.is_durable {
            let synced = disk.sync(inode);
            self.has_failed |= synced.is_err();
            synced
        } else {
            Ok(())
        };
        if let Err(error) = checked {
            job.outcome = Outcome::Failed(error);
        }
    }

    /// Takes a step of the batch that is due; returns whether one was.
    pub(super) fn commit_some(&mut self) -> bool {
        let Some(mut batch) = self.batch.take_if(|batch| batch.due <= self.now) else {
            return self.begin_batch();
        };
        batch.stage = match batch.stage {
            Stage::SyncFiles => {
                batch.jobs.iter_mut().for_each(|job| self.make_safe(job));
                Stage::Names
            }
            Stage::Names => {
                batch.jobs.iter_mut().for_each(|job| self.give_name(job));
                Stage::SyncFolder
            }
            Stage::SyncFolder => {
                self.sync_names(&mut batch.jobs);
                batch.jobs.into_iter().for_each(|job| self.report(job));
                return true;
            }
        };
        batch.due = self.later();
        self.batch = Some(batch);
        true
    }

    fn begin_batch(&mut self) -> bool {
        if self.batch.is_some() || self.waiting.is_empty() {
            return false;
        }
        let most = self.rng.random_range(1..=self.waiting.len());
        self.batches += 1;
        self.batch = Some(Batch {
            due: self.later(),
            stage: Stage::SyncFiles,
            jobs: self.waiting.drain(..most).collect(),
        });
        true
    }

    fn give_name(&mut self, job: &mut Job) {
        if let Outcome::Unknown = job.outcome {
            job.outcome = self.place(job).unwrap_or_else(Outcome::Failed);
        }
    }

    fn place(&mut self, job: &Job) -> Result<Outcome, Error> {
        let open = &self.open[&job.number];
        let order = &open.order;
        let inode = open.inode.expect("it was written");
        let disk = &mut *self.disk.borrow_mut();
        let Seal { size, digest } = job.seal;
        let receipt = |name| Receipt {
            name,
            size,
            digest,
            durable: self.is_durable,
        };
        let name = match &order.name {
            None => {
                let letters = (&mut self.rng).sample_iter(Alphanumeric).take(8);
                format!("{}.bin", letters.map(char::from).collect::<String>())
            }
            Some(name) => match (disk.find(name.as_str()), order.conflict) {
                (None, _) | (_, Conflict::Overwrite) => name.to_string(),
                (Some(there), _) if digest.is_some() && Some(disk.digest(there)) == digest => {
                    return Ok(Outcome::Found(receipt(name.to_string())));
                }
                (_, Conflict::Error) => return Err(Error::Exists),
                (_, Conflict::Rename) => {
                    let numbered = |number| name.numbered(number).expect("it is short").to_string();
                    let mut numbered = (2..).map(numbered);
                    let free = numbered.find(|name| disk.find(name).is_none());
                    free.expect("numbers go on")
                }
            },
        };
        disk.link(&name, inode)?;
        // It is moved: what has a client's name is gone on with no more.
        if let Some(id) = &order.upload
            && (disk.partials.get(id.as_str())).is_some_and(|it| it.inode == inode)
        {
            disk.partials.remove(id.as_str());
        }
        Ok(Outcome::Placed(receipt(name)))
    }

    fn sync_names(&mut self, jobs: &mut [Job]) {
        let is_placed = |job: &Job| matches!(job.outcome, Outcome::Placed(_) | Outcome::Found(_));
        if !self.is_durable || !jobs.iter().any(is_placed) {
            return;
        }
        let synced = match self.has_failed {
            true => Err(failed("sync a folder")),
            false => self.disk.borrow_mut().sync_folder(),
        };
        if synced.is_err() {
            self.has_failed = true;
            for job in jobs.iter_mut().filter(|job| is_placed(job)) {
                let error = std::io::Error::other("the folder's sync failed");
                job.outcome = Outcome::Failed(Error::Unknown(error));
            }
        }
    }

    fn report(&mut self, job: Job) {
        self.close(job.number, false);
        self.done.push_back(match job.outcome {
            Outcome::Placed(receipt) => Done::Stored(job.key, Ok(receipt)),
            Outcome::Found(receipt) => Done::Found(job.key, receipt),
            Outcome::Failed(error) => Done::Stored(job.key, Err(error)),
            Outcome::Unknown => unreachable!("each was given a name, or not"),
        });
    }
}
