//! The kinds of work that are compared, one file a group of them, and how one is measured: each
//! contender in turn, round after round, so that a machine that slows down slows all of them.

mod large;
mod small;
mod waiting;

use std::time::{Duration, Instant};

use super::measured::{Entry, Measured, Sample, Target, Unit};
use super::{Bench, tell};

/// One turn of a contender: it starts what it needs, and leaves only stored files behind.
type Turn = Box<dyn Fn(&Bench) -> Result<Sample, String>>;

/// Who does the work, and what loads it.
pub(crate) struct Contender {
    name: String,
    driver: &'static str,
    turn: Turn,
    point: Option<(&'static str, f64)>,
}

/// One kind of work.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) title: String,
    unit: Unit,
    contenders: Vec<Contender>,
    targets: Vec<Target>,
    limit: Option<(&'static str, &'static str)>,
    note: &'static str,
    /// How many bytes of memory are used and given back before each turn, so that all contenders
    /// find it alike: a virtual machine's host takes free memory back within seconds, and the
    /// next use of it is several times slower. Rows with large files need it, and are run last,
    /// since removing those slows the disk for a while.
    pub(crate) touched: u64,
}

/// All of them, in the order in which they are shown.
pub(crate) fn all() -> Vec<Row> {
    vec![
        large::one_stream(),
        large::sixteen_streams(),
        large::verified(),
        small::kept_connections(),
        small::durable(),
        small::connection_a_file(),
        waiting::texts(),
        large::beside_bulk(),
        waiting::beside_idle(),
        waiting::memory(),
        small::curve(),
    ]
}

fn contender(
    name: impl Into<String>,
    driver: &'static str,
    turn: impl Fn(&Bench) -> Result<Sample, String> + 'static,
) -> Contender {
    Contender {
        name: name.into(),
        driver,
        turn: Box::new(turn),
        point: None,
    }
}

impl Row {
    /// Measures it. A contender that fails is left out from then on, and the others go on. A row
    /// that has used up its time has fewer rounds.
    pub(crate) fn measure(self, bench: &Bench, rounds: usize, time: Duration) -> Measured {
        let start = Instant::now();
        let mut entries: Vec<Entry> = self.contenders.iter().map(Contender::entry).collect();
        for round in 0..rounds {
            if round > 0 && start.elapsed() > time {
                tell(format_args!(
                    "{}: only {round} rounds in its time",
                    self.key
                ));
                break;
            }
            for step in 0..self.contenders.len() {
                // Everybody comes first once, and behind another one in every second round.
                let last = self.contenders.len() - 1;
                let step = if round % 2 == 0 { step } else { last - step };
                let index = (step + round) % self.contenders.len();
                let (contender, entry) = (&self.contenders[index], &mut entries[index]);
                if entry.failure.is_none() {
                    bench.place.settle();
                    bench.touch_memory(self.touched);
                    match (contender.turn)(bench) {
                        Ok(sample) => {
                            self.tell(round, entry, &sample);
                            entry.samples[round] = Some(sample);
                        }
                        Err(why) => {
                            tell(format_args!("{}: {}: {why}", self.key, entry.name));
                            entry.failure = Some(why);
                        }
                    }
                }
                entry.samples.resize(round + 2, None);
            }
        }
        for entry in &mut entries {
            entry.samples.pop();
        }
        Measured {
            key: self.key,
            title: self.title,
            unit: self.unit,
            entries,
            targets: self.targets,
            limit: self.limit,
            note: self.note,
        }
    }

    fn tell(&self, round: usize, entry: &Entry, sample: &Sample) {
        tell(format_args!(
            "{}: round {}: {} {} {}",
            self.key,
            round + 1,
            entry.name,
            self.unit.show(sample.figure),
            self.unit.name(),
        ));
    }
}

impl Contender {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name.clone(),
            driver: self.driver.to_owned(),
            samples: vec![None],
            failure: None,
            point: self.point,
        }
    }
}
