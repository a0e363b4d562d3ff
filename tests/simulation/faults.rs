//! What may go wrong, and how it is done to a world.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::world::World;

/// Something that goes wrong in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) round: u32,
    pub(crate) what: What,
}

/// What goes wrong. A client is named by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// The server's process dies, and a new one comes after so many milliseconds.
    Kill(u64),
    /// The machine loses power.
    PowerCut(u64),
    /// The server is told to stop, and gets so many milliseconds for that.
    Stop(u64),
    /// The disk is full for so many rounds.
    DiskFull(u32),
    FailWrite,
    FailSync,
    FailLink,
    FailFolderSync,
    /// For so many seconds, whatever the disk does takes seconds.
    SlowDisk(u64),
    /// A client's connection is reset.
    Reset(usize),
    /// It is reset after so many more bytes, or ends there.
    CutAfter(usize, u64, bool),
    /// A client ends its stream.
    End(usize),
    /// A client sends nothing for so many seconds.
    Silent(usize, u64),
    /// A client reads nothing for so many seconds.
    Deaf(usize, u64),
    /// Nothing comes over a client's connection for so many milliseconds.
    Hold(usize, u64),
    /// A client gives up its connection, which the server doesn't hear of, and makes another.
    Abandon(usize),
}

impl Fault {
    /// None to a dozen of them.
    pub(crate) fn some(clients: usize, is_durable: bool, rng: &mut SmallRng) -> Vec<Fault> {
        let count = match rng.random_range(0..8) {
            0 => 0,
            1..6 => rng.random_range(1..6),
            _ => rng.random_range(4..14),
        };
        let rounds = [20, 100, 400][rng.random_range(0..3)];
        let mut faults: Vec<Fault> = (0..count)
            .map(|_| {
                let round = rng.random_range(0..rounds);
                let what = What::any(rng.random_range(0..clients), is_durable, rng);
                Fault { round, what }
            })
            .collect();
        faults.sort_by_key(|fault| fault.round);
        faults
    }
}

impl What {
    fn any(client: usize, is_durable: bool, rng: &mut SmallRng) -> What {
        let pause = rng.random_range(0..3000);
        match rng.random_range(0..24) {
            0 | 1 => What::Kill(pause),
            // Without durability, nothing is promised of what follows.
            2 | 3 if is_durable => What::PowerCut(pause),
            2 | 3 => What::Kill(pause),
            4 => What::Stop(rng.random_range(0..20_000)),
            5 => What::DiskFull(rng.random_range(1..60)),
            6 => What::FailWrite,
            7 => What::FailSync,
            8 => What::FailLink,
            9 => What::FailFolderSync,
            10 | 11 => What::SlowDisk(rng.random_range(1..20)),
            12 | 13 => What::Reset(client),
            14..17 => {
                let bits = rng.random_range(0..22);
                What::CutAfter(client, rng.random_range(0..1 << bits), rng.random())
            }
            17 => What::End(client),
            18 => What::Silent(client, rng.random_range(1..200)),
            19 => What::Deaf(client, rng.random_range(1..200)),
            20 | 21 => What::Hold(client, rng.random_range(1..8000)),
            _ => What::Abandon(client),
        }
    }

    /// What it is called in figures.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            What::Kill(_) => "fault: server killed",
            What::PowerCut(_) => "fault: power cut",
            What::Stop(_) => "fault: server stopped",
            What::DiskFull(_) => "fault: disk full",
            What::FailWrite => "fault: write fails",
            What::FailSync => "fault: sync fails",
            What::FailLink => "fault: link fails",
            What::FailFolderSync => "fault: folder's sync fails",
            What::SlowDisk(_) => "fault: slow disk",
            What::Reset(_) => "fault: connection reset",
            What::CutAfter(..) => "fault: connection cut after some bytes",
            What::End(_) => "fault: stream ended early",
            What::Silent(..) => "fault: client sends nothing",
            What::Deaf(..) => "fault: client reads nothing",
            What::Hold(..) => "fault: link stands still",
            What::Abandon(_) => "fault: connection abandoned",
        }
    }

    /// Whose client it is about, if it is about one's.
    pub(crate) fn client(&self) -> Option<usize> {
        match *self {
            What::Reset(client)
            | What::CutAfter(client, ..)
            | What::End(client)
            | What::Silent(client, _)
            | What::Deaf(client, _)
            | What::Hold(client, _)
            | What::Abandon(client) => Some(client),
            _ => None,
        }
    }
}

impl World {
    pub(super) fn suffer(&mut self, fault: Fault) {
        let what = fault.what;
        {
            let mut checks = self.checks.borrow_mut();
            checks.figures.add(what.kind(), 1);
            checks.tell(|| format!("!! {what:?}"));
            checks.disk_is_slow |= matches!(what, What::SlowDisk(_));
            checks.disk_is_troubled |= matches!(
                what,
                What::DiskFull(_)
                    | What::FailWrite
                    | What::FailSync
                    | What::FailLink
                    | What::FailFolderSync
            );
        }
        let ms = Duration::from_millis;
        let now = self.now;
        if let Some(client) = what.client() {
            let found = self.clients.iter_mut().find(|it| it.id() == client);
            if let Some(client) = found {
                client.suffer(what, now);
            }
            return;
        }
        let mut disk = self.disk.borrow_mut();
        let failing = &mut disk.failing;
        match what {
            What::DiskFull(rounds) => {
                failing.is_full = true;
                self.full_until = self.round + rounds;
            }
            What::FailWrite => failing.writes += 1,
            What::FailSync => failing.syncs += 1,
            What::FailLink => failing.links += 1,
            What::FailFolderSync => failing.folder_syncs += 1,
            What::SlowDisk(seconds) => {
                if let Some(server) = &self.server {
                    let until = now + Duration::from_secs(seconds);
                    server.hub.store.0.borrow_mut().slow_until = until;
                }
            }
            What::Kill(pause) => {
                drop(disk);
                self.kill(ms(pause));
            }
            What::PowerCut(pause) => {
                drop(disk);
                self.cut_power(ms(pause));
            }
            What::Stop(within) => {
                drop(disk);
                self.stop(ms(within));
            }
            _ => {}
        }
    }
}
