//! `piecemeal serve`.

mod confine;
mod limits;
mod start;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, ValueEnum};
use piecemeal::net::Address;
use piecemeal::observe::{Counters, LineQueue, LineSender};
use piecemeal::proto::name::NameRules;
use piecemeal::proto::text::escaped;
use piecemeal::proto::{Conflict, Deadlines, Rules, Strings};
use piecemeal::server::{Config, Ended, Splicing, Workers};
use piecemeal::store::FolderStore;
use piecemeal::store::folder::{Durability, Partials};

use super::hooks::HookArguments;
use super::journal::{self, JournalArguments};
use super::json::JsonArgument;
use super::json::serve::JsonTeller;
use super::log_rate_limit::LogRateLimit;
use super::logging::LogFormat;
use super::reread::Origin;
use super::teller::Teller;
use super::tracing::Tracing;
use super::units::{Limit, count, duration, show_duration, size};
use super::{Exit, logging, tell};
use start::{Failure, Prepared};
use words::{last_line, shell_quoted};

#[derive(Debug, Args)]
#[command(after_help = super::exit::SERVE_HELP)]
pub(super) struct Arguments {
    /// Listen here: 127.0.0.1:9000, [::1]:9000, unix:PATH; port 0 picks a free one. May be
    /// repeated, or have commas
    #[arg(
        long,
        env = "PIECEMEAL_BIND",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:9000"
    )]
    bind: Vec<Address>,

    /// The folder that files are stored into; made if it is missing
    #[arg(
        long,
        env = "PIECEMEAL_DIR",
        value_name = "DIR",
        default_value = "./uploads"
    )]
    dir: PathBuf,

    /// Most bytes of one file, like 500MB or 10GiB; 0 is no limit
    #[arg(long, env = "PIECEMEAL_MAX_SIZE", value_name = "SIZE", value_parser = size, default_value = "0")]
    max_size: Limit<u64>,

    /// Most connections at once; a further one is told to come back. 0 takes as many as there are
    /// descriptors for, and lets further ones wait
    #[arg(long, env = "PIECEMEAL_MAX_CONNECTIONS", value_name = "N", value_parser = count, default_value = "0")]
    max_connections: Limit<usize>,

    #[command(flatten)]
    whole: limits::WholeServer,

    /// What to do when a file of the same name is there
    #[arg(
        long,
        env = "PIECEMEAL_ON_CONFLICT",
        value_name = "POLICY",
        default_value = "error"
    )]
    on_conflict: OnConflict,

    /// What an OK promises: `full`, the file survives a power cut; `none`, it survives the server
    #[arg(
        long,
        env = "PIECEMEAL_DURABILITY",
        value_name = "LEVEL",
        default_value = "full"
    )]
    durability: DurabilityArgument,

    /// What a STRING message is: a file's name, or a message to be printed
    #[arg(
        long,
        env = "PIECEMEAL_STRINGS",
        value_name = "WHAT",
        default_value = "name"
    )]
    strings: StringsArgument,

    /// Whether files go from the socket to the disk without being copied through memory: `auto`
    /// where that is faster, `always` where it is possible, `never`
    #[arg(
        long,
        env = "PIECEMEAL_SPLICE",
        value_name = "WHEN",
        default_value = "auto"
    )]
    splice: SpliceArgument,

    /// How long an upload that was cut off is kept to be resumed; 0 keeps none
    #[arg(long, env = "PIECEMEAL_PARTIAL_TTL", value_name = "TIME", value_parser = duration, default_value = "24h")]
    partial_ttl: Limit<Duration>,

    /// Loops, each with a thread of its own; the system deals connections out among them
    #[arg(
        long,
        env = "PIECEMEAL_WORKERS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        default_value = "1"
    )]
    workers: u16,

    /// Take DATA_EOF, whose sender can't be told from one that died half-way
    #[arg(long, env = "PIECEMEAL_ACCEPT_EOF", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    accept_eof: bool,

    /// Take names that start with a dot
    #[arg(long, env = "PIECEMEAL_ALLOW_HIDDEN", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    allow_hidden: bool,

    /// Keep one folder: refuse names that have a `/`, where folders would be made for them
    #[arg(long, env = "PIECEMEAL_FLAT", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    flat: bool,

    /// Give files the permissions and the time of last change that their senders tell, as far as the
    /// umask leaves the permissions
    #[arg(long, env = "PIECEMEAL_KEEP_METADATA", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    keep_metadata: bool,

    /// Longest wait for a connection's first byte, and for any header begun; 0 is no limit
    #[arg(long, env = "PIECEMEAL_HEADER_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "10s")]
    header_timeout: Limit<Duration>,

    /// Longest standstill in a body, or of a client that doesn't read its replies
    #[arg(long, env = "PIECEMEAL_STALL_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "60s")]
    stall_timeout: Limit<Duration>,

    /// Longest silence between messages
    #[arg(long, env = "PIECEMEAL_IDLE_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "5m")]
    idle_timeout: Limit<Duration>,

    /// Slowest body, in bytes a second over 30 s; 0 takes any
    #[arg(long, env = "PIECEMEAL_MIN_RATE", value_name = "SIZE", value_parser = size, default_value = "500")]
    min_rate: Limit<u64>,

    /// How long a stop waits for uploads under way; 0 waits until they are done
    #[arg(long, env = "PIECEMEAL_SHUTDOWN_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "10s")]
    shutdown_timeout: Limit<Duration>,

    #[command(flatten)]
    confine: confine::ConfineArguments,

    #[command(flatten)]
    json: JsonArgument,

    /// How the lines on standard error are written
    #[arg(
        long,
        env = "PIECEMEAL_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,

    #[command(flatten)]
    journal: JournalArguments,

    #[command(flatten)]
    hooks: HookArguments,

    #[command(flatten)]
    tracing: Tracing,

    /// Print only addresses, warnings and errors
    #[arg(short, long, env = "PIECEMEAL_QUIET", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    quiet: bool,

    /// Log connections; twice, every step of every connection. RUST_LOG says it in detail
    #[arg(short, long, env = "PIECEMEAL_VERBOSE", action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OnConflict {
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
enum DurabilityArgument {
    Full,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StringsArgument {
    Name,
    Message,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SpliceArgument {
    Auto,
    Always,
    Never,
}

pub(super) fn run(arguments: Arguments, origin: Origin) -> Exit {
    let counters = Arc::new(Counters::default());
    // Their threads come last: what the process gives up is given up before there are any.
    let out = LineQueue::new(Arc::clone(&counters));
    let err = LineQueue::new(Arc::clone(&counters));
    let (quiet, verbose) = (arguments.quiet, arguments.verbose);
    logging::start_as(arguments.log_format, quiet, verbose, err.sender());
    let lines = arguments.log_format.of_lines(err.sender());
    if arguments.json.json && arguments.tracing.is_printed() {
        tell("piecemeal: --trace prints what is no JSON: use --trace-file with --json");
        return Exit::Usage;
    }
    if arguments.workers > 1 && arguments.tracing.is_wanted() {
        tell("piecemeal: --trace, --trace-file and -vv watch one loop: leave --workers out");
        return Exit::Usage;
    }
    let prepared = start::prepare(&arguments, &origin);
    let out = out.start("stdout", std::io::stdout());
    let err = err.start("stderr", std::io::stderr());
    let (Ok(out), Ok(err)) = (out, err) else {
        tell("piecemeal: can't start a thread");
        return Exit::Other;
    };
    let served = prepared.and_then(|prepared| {
        let served = serve(&arguments, origin, prepared, &out.sender(), &lines);
        served.map_err(Failure::from)
    });
    let exit = served.unwrap_or_else(|failure| {
        lines.line(format!("piecemeal: {failure}"));
        failure.exit()
    });
    let dropped = counters.dropped_lines.get();
    if dropped > 0 {
        lines.line(format!(
            "{dropped} lines were dropped, since nobody read them"
        ));
    }
    out.finish();
    err.finish();
    exit
}

/// Serves with what is there: nothing here needs a right that was given up.
fn serve(
    arguments: &Arguments,
    origin: Origin,
    prepared: Prepared,
    out: &LineSender,
    err: &LineSender,
) -> std::io::Result<Exit> {
    let durability = match arguments.durability {
        DurabilityArgument::Full => Durability::Full,
        DurabilityArgument::None => Durability::None,
    };
    let Prepared {
        listening,
        journal,
        tracing,
        hooks,
        confined,
    } = prepared;
    let mut kept = "";
    let mut space = limits::SpaceLimits::new(&arguments.whole);
    let partials = Partials::kept_for(arguments.partial_ttl.0);
    let mut workers = Workers::of(listening, || {
        let mut store = FolderStore::open_with(&arguments.dir, durability, &partials)?;
        space.limit(&mut store)?;
        if arguments.keep_metadata {
            store.keep_metadata()?;
        }
        kept = store.description();
        if let Some(journal) = &journal {
            store.set_journal(Arc::clone(journal));
        }
        Ok(store)
    })?;
    journal::listen(journal, &mut workers)?;
    let hooks = hooks.start()?;
    let json = arguments.json.json.then(|| JsonTeller(out.clone()));
    let tracing = tracing.start(out)?;
    origin.begin(&mut workers, err)?;
    tracing.watch(workers.first());
    let addresses = workers.first().addresses().to_vec();
    for address in &addresses {
        err.line(format!("listening on {address}"));
        if let Some(json) = &json {
            json.listening(address);
        }
    }
    if !arguments.quiet {
        for address in &addresses {
            err.line(arguments.client_command(address));
        }
        let connections = workers.connections();
        err.line(format!(
            "storing into {}; {kept}",
            escaped(arguments.dir.as_os_str().as_encoded_bytes())
        ));
        err.line(
            limits::Limits {
                arguments,
                connections: connections.most,
                used: space.used(),
            }
            .to_string(),
        );
        if let Limit(Some(asked)) = arguments.max_connections
            && !connections.as_asked
        {
            let (most, limit) = (connections.most, connections.descriptors);
            err.line(format!("warning: {asked} connections need two descriptors each, and the limit is {limit}; taking {most} (ulimit -n raises it)"));
        }
    }
    confined.tell(arguments.quiet, err);
    for address in addresses.iter().filter(|address| !address.is_local()) {
        err.line(format!("warning: {address} can be reached from other machines, and whoever reaches it can store files"));
    }
    let teller = Teller {
        out: out.clone(),
        err: err.clone(),
        quiet: arguments.quiet,
        patience: show_duration(arguments.shutdown_timeout),
        failures: LogRateLimit::default(),
    };
    let listener = hooks.listener();
    let told = json.clone();
    workers.on_event(move |event| {
        match &told {
            Some(json) => json.tell(event, &teller),
            None => teller.tell(event),
        }
        listener.hear(event);
    });
    let summary = workers.run();
    tracing.finish(err);
    let mut summary = summary?;
    summary.ended = hooks.finish(summary.ended, arguments.shutdown_timeout.0, err)?;
    if let Some(json) = &json {
        json.stopped(&summary);
    }
    if !arguments.quiet {
        err.line(last_line(&summary));
    }
    Ok(match summary.ended {
        Ended::Stopped => Exit::Success,
        Ended::Forced(signal) => Exit::Signal(signal),
    })
}

impl Arguments {
    /// What the server is told. A reread asks for it anew.
    pub(super) fn config(&self) -> Config {
        let rules = Rules {
            max_size: self.max_size.0,
            accept_eof: self.accept_eof,
            strings: match self.strings {
                StringsArgument::Name => Strings::Name,
                StringsArgument::Message => Strings::Message,
            },
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
            splicing: match self.splice {
                SpliceArgument::Auto => Splicing::Auto,
                SpliceArgument::Always => Splicing::Always,
                SpliceArgument::Never => Splicing::Never,
            },
            signals: true,
            ..Config::default()
        }
    }

    /// A command that talks to this server, ready to be pasted.
    fn client_command(&self, address: &Address) -> String {
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
