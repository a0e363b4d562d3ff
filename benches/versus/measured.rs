//! What was measured of one kind of work, and what is asked of it.

use super::statistics::{Spread, ratios, spread};

/// What a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    GigabytesPerSecond,
    /// So many a second.
    EachPerSecond(&'static str),
    Milliseconds,
    Bytes,
}

impl Unit {
    pub(crate) fn name(self) -> String {
        match self {
            Unit::GigabytesPerSecond => "GB/s".to_owned(),
            Unit::EachPerSecond(what) => format!("{what}/s"),
            Unit::Milliseconds => "p99, ms".to_owned(),
            Unit::Bytes => "bytes each".to_owned(),
        }
    }

    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::GigabytesPerSecond | Unit::Milliseconds => format!("{value:.2}"),
            Unit::EachPerSecond(_) | Unit::Bytes => thousands(value),
        }
    }
}

/// A whole number with commas, as people read one.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    if value <= -0.5 {
        shown.insert(0, '-');
    }
    shown
}

/// One turn of one contender.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// In the row's unit.
    pub(crate) figure: f64,
    /// Bytes and files, or texts, that the server took.
    pub(crate) bytes: f64,
    pub(crate) count: f64,
    /// Processor time that the server took for them, all its processes and threads together.
    pub(crate) server_cpu_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
}

impl Sample {
    pub(crate) fn cpu_s_per_gib(&self) -> Option<f64> {
        let per_byte = self.server_cpu_s? / self.bytes;
        Some(per_byte * f64::from(1 << 30)).filter(|cpu| cpu.is_finite())
    }

    pub(crate) fn cpu_us_each(&self) -> Option<f64> {
        Some(self.server_cpu_s? / self.count * 1e6).filter(|cpu| cpu.is_finite())
    }
}

/// One contender's turns.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// What loaded it.
    pub(crate) driver: String,
    /// One a round; none where it failed.
    pub(crate) samples: Vec<Option<Sample>>,
    pub(crate) failure: Option<String>,
    /// The curve, and the place on it, that it is a point of.
    pub(crate) point: Option<(&'static str, f64)>,
}

impl Entry {
    pub(crate) fn spread(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        let samples = self.samples.iter().flatten();
        spread(&samples.filter_map(of).collect::<Vec<_>>())
    }
}

/// What is asked of a row. Contenders are meant by their names.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Its figure is at least so many times the other's.
    AtLeast(f64, &'static str, &'static str),
    /// Its server takes at most so many times the other's processor time a GiB.
    CpuAtMost(f64, &'static str, &'static str),
    /// Its figure is at most so much.
    AtMost(f64, &'static str),
}

/// A target and what was reached.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) text: String,
    /// None where one of the two wasn't measured.
    pub(crate) reached: Option<Spread>,
    /// Whether the median reaches it.
    pub(crate) met: Option<bool>,
}

/// One kind of work, done by each contender in turn.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) key: &'static str,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) entries: Vec<Entry>,
    pub(crate) targets: Vec<Target>,
    /// The contender that shows what the machine gives at best, and of whom that is a limit.
    pub(crate) limit: Option<(&'static str, &'static str)>,
    /// What a reader has to know.
    pub(crate) note: &'static str,
}

impl Measured {
    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    fn values(&self, name: &str, of: impl Fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
        let samples = self.entry(name).map(|entry| &entry.samples[..]);
        let samples = samples.unwrap_or_default().iter();
        samples.map(|sample| of(&(*sample)?)).collect()
    }

    fn ratio(
        &self,
        of: &str,
        to: &str,
        value: impl Fn(&Sample) -> Option<f64> + Copy,
    ) -> Option<Spread> {
        spread(&ratios(&self.values(of, value), &self.values(to, value)))
    }

    /// How much of what the machine gives at best was reached.
    pub(crate) fn of_the_limit(&self) -> Option<Spread> {
        let (limit, of) = self.limit?;
        self.ratio(of, limit, |sample| Some(sample.figure))
    }

    pub(crate) fn judge(&self) -> Vec<Judged> {
        let targets = self.targets.iter();
        targets.map(|target| self.judge_one(target)).collect()
    }

    fn judge_one(&self, target: &Target) -> Judged {
        let (text, reached, is_met): (_, _, fn(f64, f64) -> bool) = match *target {
            Target::AtLeast(times, of, to) => (
                format!("≥ {times:?} × {to}{}", mention(of)),
                self.ratio(of, to, |sample| Some(sample.figure)),
                |reached, asked| reached >= asked,
            ),
            Target::CpuAtMost(times, of, to) => (
                format!("CPU a GiB ≤ {times:?} × {to}{}", mention(of)),
                self.ratio(of, to, Sample::cpu_s_per_gib),
                |reached, asked| reached <= asked,
            ),
            Target::AtMost(most, of) => (
                format!("{} ≤ {most}{}", self.unit.name(), mention(of)),
                self.entry(of)
                    .and_then(|entry| entry.spread(|sample| Some(sample.figure))),
                |reached, asked| reached <= asked,
            ),
        };
        let (Target::AtLeast(asked, ..) | Target::CpuAtMost(asked, ..) | Target::AtMost(asked, _)) =
            *target;
        Judged {
            text,
            reached,
            met: reached.map(|reached| is_met(reached.median, asked)),
        }
    }
}

/// A target says of whom it is, where that isn't plain.
fn mention(of: &str) -> String {
    match of {
        "piecemeal" => String::new(),
        of => format!(" ({of})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, figures: &[f64], cpu_s: f64) -> Entry {
        let sample = |figure: &f64| Sample {
            figure: *figure,
            bytes: f64::from(1 << 30),
            count: 1000.0,
            server_cpu_s: Some(cpu_s),
            ..Sample::default()
        };
        Entry {
            name: name.to_owned(),
            driver: String::new(),
            samples: figures.iter().map(|figure| Some(sample(figure))).collect(),
            failure: None,
            point: None,
        }
    }

    fn row(targets: Vec<Target>) -> Measured {
        Measured {
            key: "bulk",
            title: "one stream".to_owned(),
            unit: Unit::GigabytesPerSecond,
            entries: vec![
                entry("piecemeal", &[2.0, 3.0, 10.0], 0.5),
                entry("nginx", &[1.0, 1.0, 1.0], 1.0),
            ],
            targets,
            limit: Some(("nginx", "piecemeal")),
            note: "",
        }
    }

    #[test]
    fn a_target_is_judged_by_the_median_of_the_rounds_ratios() {
        let judged = row(vec![
            Target::AtLeast(3.0, "piecemeal", "nginx"),
            Target::AtLeast(3.1, "piecemeal", "nginx"),
            Target::CpuAtMost(0.55, "piecemeal", "nginx"),
            Target::CpuAtMost(0.45, "piecemeal", "nginx"),
            Target::AtMost(3.0, "piecemeal"),
            Target::AtMost(2.9, "piecemeal"),
        ])
        .judge();
        let met: Vec<_> = judged.iter().map(|judged| judged.met).collect();
        let [yes, no] = [Some(true), Some(false)];
        assert_eq!(met, [yes, no, yes, no, yes, no]);
        assert_eq!(judged[0].text, "≥ 3.0 × nginx");
        assert_eq!(judged[0].reached.map(|it| it.most), Some(10.0));
        assert_eq!(judged[4].text, "GB/s ≤ 3");
    }

    #[test]
    fn who_wasnt_measured_is_not_judged() {
        let judged = row(vec![Target::AtLeast(1.0, "piecemeal", "iperf3")]).judge();
        assert_eq!(judged[0].met, None);
        assert!(judged[0].reached.is_none());
    }

    #[test]
    fn processor_time_is_told_a_gib_and_a_file() {
        let sample = Sample {
            bytes: f64::from(1 << 29),
            count: 100.0,
            server_cpu_s: Some(0.5),
            ..Sample::default()
        };
        assert_eq!(sample.cpu_s_per_gib(), Some(1.0));
        assert_eq!(sample.cpu_us_each(), Some(5000.0));
        let nothing = Sample {
            server_cpu_s: Some(0.5),
            ..Sample::default()
        };
        assert_eq!(nothing.cpu_s_per_gib(), None);
    }

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        let files = Unit::EachPerSecond("files");
        assert_eq!(files.show(1_234_567.4), "1,234,567");
        assert_eq!(files.show(123.0), "123");
        assert_eq!(Unit::Bytes.show(-1_000.0), "-1,000");
        assert_eq!(Unit::GigabytesPerSecond.show(1.234), "1.23");
    }
}
