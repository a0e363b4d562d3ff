//! The options of `piecemeal serve`, and what of them the server is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, ValueEnum};
use piecemeal::net::Address;
use piecemeal::proto::name::NameRules;
use piecemeal::proto::{Conflict, Deadlines, Rules, Strings};
use piecemeal::server::{Config, Splicing};
use piecemeal::store::folder::Durability;

use super::words::shell_quoted;
use super::{confine, limits};
use crate::cli::exit;
use crate::cli::hooks::HookArguments;
use crate::cli::journal::JournalArguments;
use crate::cli::json::JsonArgument;
use crate::cli::logging::LogFormat;
use crate::cli::tracing::Tracing;
use crate::cli::units::{Limit, count, duration, size};

#[derive(Debug, Args)]
#[command(after_help = exit::SERVE_HELP)]
pub(in crate::cli) struct Arguments {
    /// Listen here: 127.0.0.1:9000, [::1]:9000, unix:PATH; port 0 picks a free one. May be
    /// repeated, or have commas
    #[arg(
        long,
        env = "PIECEMEAL_BIND",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:9000"
    )]
    pub(super) bind: Vec<Address>,

    /// The folder that files are stored into; made if it is missing
    #[arg(
        long,
        env = "PIECEMEAL_DIR",
        value_name = "DIR",
        default_value = "./uploads"
    )]
    pub(super) dir: PathBuf,

    /// Most bytes of one file, like 500MB or 10GiB; 0 is no limit
    #[arg(long, env = "PIECEMEAL_MAX_SIZE", value_name = "SIZE", value_parser = size, default_value = "0")]
    pub(super) max_size: Limit<u64>,

    /// Most connections at once; a further one is told to come back. 0 takes as many as there are
    /// descriptors for, and lets further ones wait
    #[arg(long, env = "PIECEMEAL_MAX_CONNECTIONS", value_name = "N", value_parser = count, default_value = "0")]
    pub(super) max_connections: Limit<usize>,

    #[command(flatten)]
    pub(super) whole: limits::WholeServer,

    /// What to do when a file of the same name is there
    #[arg(
        long,
        env = "PIECEMEAL_ON_CONFLICT",
        value_name = "POLICY",
        default_value = "error"
    )]
    pub(super) on_conflict: OnConflict,

    /// What an OK promises: `full`, the file survives a power cut; `none`, it survives the server
    #[arg(
        long,
        env = "PIECEMEAL_DURABILITY",
        value_name = "LEVEL",
        default_value = "full"
    )]
    pub(super) durability: DurabilityArgument,

    /// What a STRING message is: a file's name, or a message to be printed
    #[arg(
        long,
        env = "PIECEMEAL_STRINGS",
        value_name = "WHAT",
        default_value = "name"
    )]
    pub(super) strings: StringsArgument,

    /// Whether files go from the socket to the disk without being copied through memory: `auto`
    /// where that is faster, `always` where it is possible, `never`
    #[arg(
        long,
        env = "PIECEMEAL_SPLICE",
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(super) splice: SpliceArgument,

    /// How long an upload that was cut off is kept to be resumed; 0 keeps none
    #[arg(long, env = "PIECEMEAL_PARTIAL_TTL", value_name = "TIME", value_parser = duration, default_value = "24h")]
    pub(super) partial_ttl: Limit<Duration>,

    /// Loops, each with a thread of its own; the system deals connections out among them
    #[arg(
        long,
        env = "PIECEMEAL_WORKERS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        default_value = "1"
    )]
    pub(super) workers: u16,

    /// Take DATA_EOF, whose sender can't be told from one that died half-way
    #[arg(long, env = "PIECEMEAL_ACCEPT_EOF", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) accept_eof: bool,

    /// Take names that start with a dot
    #[arg(long, env = "PIECEMEAL_ALLOW_HIDDEN", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) allow_hidden: bool,

    /// Keep one folder: refuse names that have a `/`, where folders would be made for them
    #[arg(long, env = "PIECEMEAL_FLAT", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) flat: bool,

    /// Give files the permissions and the time of last change that their senders tell, as far as the
    /// umask leaves the permissions
    #[arg(long, env = "PIECEMEAL_KEEP_METADATA", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) keep_metadata: bool,

    /// Longest wait for a connection's first byte, and for any header begun; 0 is no limit
    #[arg(long, env = "PIECEMEAL_HEADER_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(super) header_timeout: Limit<Duration>,

    /// Longest standstill in a body, or of a client that doesn't read its replies
    #[arg(long, env = "PIECEMEAL_STALL_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub(super) stall_timeout: Limit<Duration>,

    /// Longest silence between messages
    #[arg(long, env = "PIECEMEAL_IDLE_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "5m")]
    pub(super) idle_timeout: Limit<Duration>,

    /// Slowest body, in bytes a second over 30 s; 0 takes any
    #[arg(long, env = "PIECEMEAL_MIN_RATE", value_name = "SIZE", value_parser = size, default_value = "500")]
    pub(super) min_rate: Limit<u64>,

    /// How long a stop waits for uploads under way; 0 waits until they are done
    #[arg(long, env = "PIECEMEAL_SHUTDOWN_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(super) shutdown_timeout: Limit<Duration>,

    #[command(flatten)]
    pub(super) confine: confine::ConfineArguments,

    #[command(flatten)]
    pub(super) json: JsonArgument,

    /// How the lines on standard error are written
    #[arg(
        long,
        env = "PIECEMEAL_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: LogFormat,

    #[command(flatten)]
    pub(super) journal: JournalArguments,

    #[command(flatten)]
    pub(super) hooks: HookArguments,

    #[command(flatten)]
    pub(super) tracing: Tracing,

    /// Print only addresses, warnings and errors
    #[arg(short, long, env = "PIECEMEAL_QUIET", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) quiet: bool,

    /// Log connections; twice, every step of every connection. RUST_LOG says it in detail
    #[arg(short, long, env = "PIECEMEAL_VERBOSE", action = ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum OnConflict {
    /// Refuse the new one
    Error,
    /// Number the new one: report (2).pdf
    Rename,
    /// Replace the old one
    Overwrite,
}

impl From<OnConflict> for Conflict {
    fn from(argument: OnConflict) -> Conflict {
        match argument {
            OnConflict::Error => Conflict::Error,
            OnConflict::Rename => Conflict::Rename,
            OnConflict::Overwrite => Conflict::Overwrite,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum DurabilityArgument {
    Full,
    None,
}

impl From<DurabilityArgument> for Durability {
    fn from(argument: DurabilityArgument) -> Durability {
        match argument {
            DurabilityArgument::Full => Durability::Full,
            DurabilityArgument::None => Durability::None,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum StringsArgument {
    Name,
    Message,
}

impl From<StringsArgument> for Strings {
    fn from(argument: StringsArgument) -> Strings {
        match argument {
            StringsArgument::Name => Strings::Name,
            StringsArgument::Message => Strings::Message,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SpliceArgument {
    Auto,
    Always,
    Never,
}

impl From<SpliceArgument> for Splicing {
    fn from(argument: SpliceArgument) -> Splicing {
        match argument {
            SpliceArgument::Auto => Splicing::Auto,
            SpliceArgument::Always => Splicing::Always,
            SpliceArgument::Never => Splicing::Never,
        }
    }
}

impl Arguments {
    /// What the server is told. A reread asks for it anew.
    pub(in crate::cli) fn config(&self) -> Config {
        let rules = Rules {
            max_size: self.max_size.0,
            accept_eof: self.accept_eof,
            strings: self.strings.into(),
            names: NameRules {
                allow_hidden: self.allow_hidden,
                allow_folders: !self.flat,
            },
            conflict: self.on_conflict.into(),
            deadlines: Deadlines {
                header: self.header_timeout.0,
                stall: self.stall_timeout.0,
                idle: self.idle_timeout.0,
                min_rate: self.min_rate.0.unwrap_or(0),
            },
            trace: self.tracing.is_wanted(),
            tell_faults: self.json.json,
        };
        Config {
            bind: self.bind.clone(),
            rules,
            max_connections: self.max_connections.0,
            max_per_ip: self.whole.max_per_ip.0,
            limit_rate: self.whole.limit_rate.0,
            shutdown_timeout: self.shutdown_timeout.0,
            splicing: self.splice.into(),
            signals: true,
            ..Config::default()
        }
    }

    /// A command that talks to this server, ready to be pasted.
    pub(super) fn client_command(&self, address: &Address) -> String {
        let to = match address {
            Address::Tcp(tcp) if tcp.ip().is_unspecified() => {
                let host = if tcp.is_ipv6() { "[::1]" } else { "127.0.0.1" };
                format!("{host}:{}", tcp.port())
            }
            address => address.to_string(),
        };
        let to = shell_quoted(&to);
        match self.strings {
            StringsArgument::Name => format!("  piecemeal send --to {to} FILE"),
            StringsArgument::Message => format!("  piecemeal say --to {to} TEXT"),
        }
    }
}
