//! What `piecemeal bench` is told, and the plan that it makes of it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, ValueEnum};
use piecemeal::client::bench::{Mix, Plan, Work};
use piecemeal::net::Endpoint;
use piecemeal::proto::limits::TEXT_MOST;
use piecemeal::proto::name::{Name, NameRules};
use piecemeal::proto::text::escaped;

use crate::cli::units::{Limit, duration, size};

/// Bytes of a file where --size says nothing: a page.
const FILE_SIZE: u64 = 4 << 10;
/// Bytes of a text where --size says nothing.
const TEXT_SIZE: u64 = 16;
/// How long it lasts where nothing says when it ends.
const USUAL_DURATION: Duration = Duration::from_secs(5);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = crate::cli::exit::BENCH_HELP, args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<super::Command>,

    /// The server: HOST:PORT, [IPv6]:PORT or unix:PATH; the files stay there. Several addresses of
    /// it are used in turn, which gives --reconnect more ports. Without it, bench starts a server
    /// of its own in a process and a folder that are gone afterwards
    #[arg(
        long,
        env = "PIECEMEAL_TO",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    pub(super) to: Vec<Endpoint>,

    /// Connections at once
    #[arg(short, long, env = "PIECEMEAL_CONNECTIONS", value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// Bytes of a file, 4KiB unless told, or of a text, 16 unless told; 4KiB-1MiB spreads them
    /// evenly in between
    #[arg(long, env = "PIECEMEAL_SIZE", value_name = "SIZE", value_parser = sizes)]
    size: Option<RangeInclusive<u64>>,

    /// Files, or texts, to send in all
    #[arg(long, env = "PIECEMEAL_FILES", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    files: Option<u64>,

    /// How long files are begun; 5s where --files isn't given either
    #[arg(long, env = "PIECEMEAL_DURATION", value_name = "TIME", value_parser = duration)]
    duration: Option<Limit<Duration>>,

    /// Files that a connection sends ahead of their answers
    #[arg(long, env = "PIECEMEAL_PIPELINE", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pipeline: u16,

    /// Make a new connection for each file
    #[arg(long, env = "PIECEMEAL_RECONNECT", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) reconnect: bool,

    /// Send texts, which come back, in place of files; the server runs with --strings message
    #[arg(long, env = "PIECEMEAL_SAY", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) say: bool,

    /// Announce each file with its digest, and compare the receipt with what was sent
    #[arg(long, env = "PIECEMEAL_VERIFY", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    verify: bool,

    /// Percent of connections that behave badly, and are measured apart: slow=10,stalled=5,abort=5
    #[arg(long, env = "PIECEMEAL_MIX", value_name = "MIX", value_parser = mix)]
    mix: Option<Mix>,

    /// Sizes and bytes are the same again with the same number. It is part of the names too, so
    /// the same server needs another --name-prefix then
    #[arg(long, env = "PIECEMEAL_SEED", value_name = "N")]
    seed: Option<u64>,

    /// Files are called PREFIX-SEED-NUMBER, and PREFIX-SEED-NUMBER-slow where --mix has slow ones
    #[arg(
        long,
        env = "PIECEMEAL_NAME_PREFIX",
        value_name = "PREFIX",
        default_value = "bench"
    )]
    name_prefix: String,

    /// What an OK of the server that bench starts promises: `full`, as it does by default; `none`
    /// measures the server without the disk's syncs
    #[arg(long, env = "PIECEMEAL_DURABILITY", value_name = "LEVEL")]
    pub(super) durability: Option<Level>,

    /// Where the folder of the server that bench starts is made; the disk below it is measured
    /// [default: the system's folder for temporary files]
    #[arg(long, env = "PIECEMEAL_TEMP_DIR", value_name = "DIR")]
    pub(super) temp_dir: Option<PathBuf>,

    /// Give up when nothing moves for so long; 0 never does
    #[arg(long, env = "PIECEMEAL_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "1m")]
    timeout: Limit<Duration>,

    /// Print one JSON object
    #[arg(long, env = "PIECEMEAL_JSON", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) json: bool,
}

/// The durability of a server that bench starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    Full,
    None,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Level::Full => "full",
            Level::None => "none",
        }
    }
}

impl Arguments {
    /// What a server of its own promises. The same as `serve` does unless told, so that the
    /// figures are those of what people run.
    pub(super) fn durability(&self) -> Level {
        self.durability.unwrap_or(Level::Full)
    }

    /// The plan; where to is filled in by whoever knows.
    ///
    /// # Errors
    /// Options that don't go together, as a line for a person.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let work = match (self.say, self.verify) {
            (true, true) => return Err("--verify is for files: texts are always compared".into()),
            (true, false) => Work::Texts,
            (false, true) => Work::VerifiedFiles,
            (false, false) => Work::Files,
        };
        if self.reconnect && self.pipeline > 1 {
            return Err("--reconnect sends one file a connection, so leave out --pipeline".into());
        }
        let mix = self.mix.unwrap_or_default();
        let connections = usize::from(self.connections);
        if mix != Mix::default() {
            if self.say {
                return Err("--mix is for files, so leave out --say".into());
            }
            let bad: usize = mix.of(connections).iter().sum();
            if bad >= connections {
                return Err(format!(
                    "--mix leaves none of {connections} connections to be measured; \
                     try more --connections"
                ));
            }
        }
        let usual = if self.say { TEXT_SIZE } else { FILE_SIZE };
        let sizes = self.size.clone().unwrap_or(usual..=usual);
        if self.say && *sizes.end() > TEXT_MOST {
            return Err(format!(
                "--size: a text has at most {TEXT_MOST} bytes; try --size 4KiB or less"
            ));
        }
        // Short, since it is read and typed by people; a run has few chances to meet another's.
        let seed = self
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>()));
        self.check_names(seed)?;
        let duration = match (self.duration, self.files) {
            (None, None) => Some(USUAL_DURATION),
            (None, Some(_)) => None,
            (Some(Limit(None)), None) => {
                return Err("--duration 0 never ends; give it a time, or --files".into());
            }
            (Some(Limit(duration)), _) => duration,
        };
        Ok(Plan {
            to: self.to.clone(),
            connections,
            work,
            sizes,
            files: self.files,
            duration,
            pipeline: usize::from(self.pipeline),
            reconnect: self.reconnect,
            mix,
            seed,
            name_prefix: self.name_prefix.clone(),
            timeout: self.timeout.0,
            connect_timeout: CONNECT_TIMEOUT,
        })
    }

    /// The longest name has to be a good one, or every file would be refused.
    fn check_names(&self, seed: u64) -> Result<(), String> {
        let prefix = &self.name_prefix;
        let longest = format!("{prefix}-{seed}-{}-stalled", u64::MAX);
        let rules = NameRules {
            allow_hidden: true,
            allow_folders: false,
        };
        Name::parse(&longest, rules)
            .map(|_| ())
            .map_err(|fault| format!("--name-prefix {}: {fault}", escaped(prefix)))
    }
}

/// Reads `4KiB`, `0` or `4KiB-1MiB`.
fn sizes(text: &str) -> Result<RangeInclusive<u64>, String> {
    let one = |text: &str| {
        let size = size(text.trim()).map(|Limit(size)| size.unwrap_or(0));
        size.map_err(|_| "not a size; try 4KiB, or 4KiB-1MiB for a range".to_owned())
    };
    let (from, to) = match text.split_once('-') {
        Some((from, to)) => (one(from)?, one(to)?),
        None => (one(text)?, one(text)?),
    };
    if from > to {
        return Err(format!(
            "{from} is more than {to}: the smaller one stands first"
        ));
    }
    Ok(from..=to)
}

/// Reads `slow=10,stalled=5,abort=5`, of which any may be missing.
fn mix(text: &str) -> Result<Mix, String> {
    let mut mix = Mix::default();
    for part in text.split(',') {
        let (manner, percent) = part
            .split_once('=')
            .ok_or("not manner=percent; try slow=10,stalled=5,abort=5")?;
        let percent = percent.parse().ok().filter(|percent| *percent <= 100);
        let percent = percent.ok_or("a percentage is a whole number up to 100")?;
        match manner.trim() {
            "slow" => mix.slow = percent,
            "stalled" => mix.stalled = percent,
            "abort" => mix.abort = percent,
            _ => return Err("there are slow, stalled and abort".to_owned()),
        }
    }
    Ok(mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_or_a_range() {
        for (text, sizes_read) in [
            ("0", 0..=0),
            ("4KiB", 4096..=4096),
            ("4KiB-1MiB", 4096..=1 << 20),
            ("0-10", 0..=10),
            ("1 kB - 2 kB", 1000..=2000),
        ] {
            assert_eq!(sizes(text), Ok(sizes_read), "{text}");
        }
        for bad in ["", "-", "4KiB-", "-4KiB", "2-1", "1-2-3", "ten"] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mix_names_what_it_has_and_nothing_else() {
        let all = Mix {
            slow: 10,
            stalled: 5,
            abort: 100,
        };
        assert_eq!(mix("slow=10,stalled=5,abort=100"), Ok(all));
        let one = Mix {
            abort: 3,
            ..Mix::default()
        };
        assert_eq!(mix("abort=3"), Ok(one));
        for bad in [
            "", "slow", "slow=", "slow=101", "slow=-1", "quick=1", "slow=1,",
        ] {
            assert!(mix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_percentage_of_few_is_at_least_one_of_them() {
        let mix = Mix {
            slow: 10,
            stalled: 1,
            abort: 0,
        };
        assert_eq!(mix.of(64), [6, 1, 0]);
        assert_eq!(mix.of(1), [1, 1, 0]);
    }
}
