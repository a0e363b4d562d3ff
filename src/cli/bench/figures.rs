//! The figures of a run: a table for people, one JSON object for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use piecemeal::client::bench::{Misbehaved, Outcome, Plan, Tally, Work};
use serde::Serialize;

use crate::cli::units::{show_count, show_size};

/// All that a run has to say. Rates are of what went well; latencies are in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    files_per_s: f64,
    bytes_per_s: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    errors: BTreeMap<&'static str, u64>,
    /// Those that behave well.
    connections: usize,
    work: &'static str,
    files: u64,
    bytes: u64,
    seconds: f64,
    #[serde(serialize_with = "ends")]
    size: RangeInclusive<u64>,
    pipeline: usize,
    reconnect: bool,
    seed: u64,
    /// Of a server that was started for it; another's isn't known.
    pub(super) durability: Option<&'static str>,
    /// What the generator used, and a server that was started for it, in seconds.
    pub(super) client_cpu_s: Option<f64>,
    pub(super) server_cpu_s: Option<f64>,
    /// What ended it early, as a line for a person.
    ended: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    mix: BTreeMap<&'static str, Apart>,
}

/// Those that behave badly, in one manner.
#[derive(Debug, Serialize)]
struct Apart {
    connections: usize,
    /// How often one of their connections ended.
    ended: u64,
    files: u64,
    p50_us: f64,
    max_us: f64,
    errors: BTreeMap<&'static str, u64>,
}

impl Figures {
    pub(super) fn of(plan: &Plan, outcome: &Outcome) -> Figures {
        let tally = &outcome.tally;
        let sides = [
            ("slow", &outcome.slow),
            ("stalled", &outcome.stalled),
            ("abort", &outcome.abort),
        ];
        let sides = sides.into_iter().filter(|(_, side)| side.connections > 0);
        Figures {
            files_per_s: tenths(outcome.files_per_s()),
            bytes_per_s: tenths(outcome.bytes_per_s()),
            p50_us: percentile(tally, 50.0),
            p90_us: percentile(tally, 90.0),
            p99_us: percentile(tally, 99.0),
            p999_us: percentile(tally, 99.9),
            max_us: micros(tally.latency.max()),
            errors: tally.errors.clone(),
            connections: outcome.connections,
            work: match plan.work {
                Work::Files => "files",
                Work::VerifiedFiles => "verified files",
                Work::Texts => "texts",
            },
            files: tally.done,
            bytes: tally.bytes,
            seconds: outcome.took.as_secs_f64(),
            size: plan.sizes.clone(),
            pipeline: plan.pipeline,
            reconnect: plan.reconnect,
            seed: plan.seed,
            durability: None,
            client_cpu_s: None,
            server_cpu_s: None,
            ended: outcome.ended.as_ref().map(ToString::to_string),
            mix: sides
                .map(|(manner, side)| (manner, Apart::of(side)))
                .collect(),
        }
    }

    /// One JSON object on one line.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and words are good JSON")
    }
}

impl Apart {
    fn of(side: &Misbehaved) -> Apart {
        Apart {
            connections: side.connections,
            ended: side.ended,
            files: side.tally.done,
            p50_us: percentile(&side.tally, 50.0),
            max_us: micros(side.tally.latency.max()),
            errors: side.tally.errors.clone(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (show_size(*self.size.start()), show_size(*self.size.end()));
        let sizes = if from == to {
            from
        } else {
            format!("{from} to {to}")
        };
        write!(
            f,
            "{} of {sizes} over {}, ",
            self.work,
            show_count(self.connections as u64, "connection")
        )?;
        if self.reconnect {
            f.write_str("a new one for each")?;
        } else {
            write!(f, "pipeline {}", self.pipeline)?;
        }
        if let Some(durability) = self.durability {
            write!(f, ", durability {durability}")?;
        }
        writeln!(f, ", seed {}", self.seed)?;
        let files = if self.work == "texts" {
            "texts"
        } else {
            "files"
        };
        let (bytes, rate) = (show_size(self.bytes), show_size(whole(self.bytes_per_s)));
        let (count, seconds) = (self.files, self.seconds);
        writeln!(f, "{files}     {count} in {seconds:.2} s, {bytes}")?;
        // Of few large files, the fraction counts.
        let digits = if self.files_per_s < 10.0 { 1 } else { 0 };
        let a_second = self.files_per_s;
        writeln!(f, "rate      {a_second:.digits$} {files}/s, {rate}/s")?;
        writeln!(
            f,
            "latency   p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            time(self.p50_us),
            time(self.p90_us),
            time(self.p99_us),
            time(self.p999_us),
            time(self.max_us)
        )?;
        if let (Some(client), Some(server)) = (self.client_cpu_s, self.server_cpu_s) {
            writeln!(f, "cpu       bench {client:.2} s, server {server:.2} s")?;
        }
        write!(f, "errors    {}", Errors(&self.errors))?;
        for (manner, side) in &self.mix {
            let Apart {
                connections,
                ended,
                files,
                errors,
                ..
            } = side;
            write!(
                f,
                "\n{manner:<9} {}: {}, p50 {}; ended {ended} times; errors {}",
                show_count(*connections as u64, "connection"),
                show_count(*files, "file"),
                time(side.p50_us),
                Errors(errors)
            )?;
        }
        Ok(())
    }
}

/// Errors by code, on one line.
struct Errors<'a>(&'a BTreeMap<&'static str, u64>);

impl fmt::Display for Errors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (code, count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{code} {count}")?;
        }
        Ok(())
    }
}

/// A latency for people.
pub(super) fn time(micros: f64) -> String {
    match micros {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

/// A percentile in microseconds.
pub(super) fn percentile(tally: &Tally, percent: f64) -> f64 {
    micros(tally.latency.percentile(percent))
}

fn micros(time: Duration) -> f64 {
    tenths(time.as_secs_f64() * 1e6)
}

/// No more digits than mean something.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// A rate in whole bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}

/// A range as its two ends.
fn ends<S: serde::Serializer>(sizes: &RangeInclusive<u64>, to: S) -> Result<S::Ok, S::Error> {
    [*sizes.start(), *sizes.end()].serialize(to)
}
