//! `piecemeal lab serve`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use piecemeal::lab::{LabMachine, Settings, Task, threads};
use piecemeal::net::Address;
use piecemeal::observe::{Counters, LineWriter};
use piecemeal::proto::Moment;
use piecemeal::server::{
    Config, Ended, Event, Full, Protocol, Server, possible_connections, raise_descriptor_limit,
};
use piecemeal::session::Note;
use piecemeal::store::GrowingStore;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::exit::Exit;
use crate::cli::log_rate_limit::LogRateLimit;
use crate::cli::teller::Teller;
use crate::cli::tracing::Tracing;
use crate::cli::units::{Limit, duration};
use crate::cli::{logging, tell};

#[derive(Debug, Args)]
#[command(after_help = crate::cli::exit::SERVE_HELP)]
pub(super) struct Arguments {
    /// Which task: hello, or 1 to 6
    #[arg(long, env = "PIECEMEAL_LAB_TASK", value_name = "TASK")]
    task: Task,

    /// Listen here: 127.0.0.1:9000, [::1]:9000, unix:PATH; port 0 picks a free one. May be
    /// repeated, or have commas
    #[arg(
        long,
        env = "PIECEMEAL_LAB_BIND",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:9000"
    )]
    bind: Vec<Address>,

    /// The folder that files are stored into; made if it is missing
    #[arg(
        long,
        env = "PIECEMEAL_LAB_DIR",
        value_name = "DIR",
        default_value = "."
    )]
    dir: PathBuf,

    /// After so long without a byte, a text or name that has no length is taken to be over
    #[arg(long, env = "PIECEMEAL_LAB_QUIET", value_name = "TIME", value_parser = duration, default_value = "50ms")]
    quiet: Limit<Duration>,

    /// Take only the framed grammar of docs/PROTOCOL.md, and answer in it
    #[arg(long, env = "PIECEMEAL_LAB_STRICT", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    strict: bool,

    /// Serve each connection on a thread of its own, as the sheet's task 2 has it
    #[arg(long, env = "PIECEMEAL_LAB_THREADS", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    threads: bool,

    /// Close a connection that sends nothing, or stands still in a file, for so long
    #[arg(long, env = "PIECEMEAL_LAB_IDLE", value_name = "TIME", value_parser = duration, default_value = "5m")]
    idle: Limit<Duration>,

    /// How long a connection that has sent a file is kept, for the next one
    #[arg(long, env = "PIECEMEAL_LAB_KEEP_FOR", value_name = "TIME", value_parser = duration, default_value = "10s")]
    keep_for: Limit<Duration>,

    #[command(flatten)]
    tracing: Tracing,

    /// Log connections; twice, every step of every connection. RUST_LOG says it in detail
    #[arg(short, long, env = "PIECEMEAL_LAB_VERBOSE", action = ArgAction::Count)]
    verbose: u8,
}

/// For ever, where a moment has to be named.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

pub(super) fn run(arguments: Arguments) -> Exit {
    if arguments.threads && arguments.tracing.is_wanted() {
        tell("piecemeal: --trace watches the reactor's connections: leave --threads out");
        return Exit::Usage;
    }
    if arguments.task == Task::Hello && arguments.strict {
        tell("piecemeal: --strict: the hello task has no framed form; --task 3 --strict has");
        return Exit::Usage;
    }
    let counters = Arc::new(Counters::default());
    let out = LineWriter::start("stdout", io::stdout(), Arc::clone(&counters));
    let err = LineWriter::start("stderr", io::stderr(), counters);
    let (Ok(out), Ok(err)) = (out, err) else {
        tell("piecemeal: can't start a thread");
        return Exit::Other;
    };
    logging::start(false, arguments.verbose, err.sender());
    let teller = Teller {
        out: out.sender(),
        err: err.sender(),
        quiet: false,
        patience: "10s".into(),
        failures: LogRateLimit::default(),
    };
    let served = if arguments.threads {
        serve_by_threads(&arguments, teller)
    } else {
        serve(&arguments, teller)
    };
    let exit = served.unwrap_or_else(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; stop it, or choose another --bind",
            _ => "",
        };
        err.sender().line(format!("piecemeal: {error}{hint}"));
        Exit::Other
    });
    out.finish();
    err.finish();
    exit
}

/// Serves on the reactor.
fn serve(arguments: &Arguments, teller: Teller) -> io::Result<Exit> {
    raise_descriptor_limit();
    let config = Config {
        bind: arguments.bind.clone(),
        signals: true,
        ..Config::default()
    };
    let store = GrowingStore::open(&arguments.dir)?;
    let mut server = Server::bind_with(config, LabProtocol(arguments.settings()), store)?;
    let tracing = arguments.tracing.open()?.start(&teller.out)?;
    tracing.watch(&mut server);
    for address in server.addresses() {
        teller.err.line(format!("listening on {address}"));
    }
    let teller = Arc::new(teller);
    let people = Arc::clone(&teller);
    server.on_event(move |event| people.tell(&event));
    let summary = server.run();
    teller.finish();
    tracing.finish(&teller.err);
    Ok(match summary?.ended {
        Ended::Stopped => Exit::Success,
        Ended::Forced(signal) => Exit::Signal(signal),
    })
}

/// Serves with a thread a connection.
fn serve_by_threads(arguments: &Arguments, teller: Teller) -> io::Result<Exit> {
    raise_descriptor_limit();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let store = GrowingStore::open(&arguments.dir)?;
    let err = teller.err.clone();
    let teller = Arc::new(teller);
    let people = Arc::clone(&teller);
    let hear: threads::Hear = Arc::new(move |peer, note| people.tell(&event(peer, &note)));
    let room = threads::Room::new(possible_connections());
    for address in &arguments.bind {
        let Address::Tcp(address) = address else {
            return Err(io::Error::other(format!(
                "--threads listens on TCP addresses, and {address} is none"
            )));
        };
        let listener = threads::listen(*address).map_err(|error| {
            io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
        })?;
        let local = listener.local_addr()?;
        let (settings, store, hear) = (arguments.settings(), store.clone(), Arc::clone(&hear));
        let room = Arc::clone(&room);
        thread::Builder::new()
            .name("accept".into())
            .spawn(move || {
                threads::serve(&listener, &settings, &store, &room, &hear);
            })?;
        // The same line as every server's, since programs read it.
        err.line(format!("listening on {local}"));
    }
    // The connections' threads end with the process.
    signals.forever().next();
    teller.finish();
    Ok(Exit::Success)
}

/// What a server on the reactor would have told.
fn event<'a>(peer: &'a Address, note: &'a Note) -> Event<'a> {
    match note {
        Note::Message(text) => Event::Message { peer, text },
        Note::Remark(text) => Event::Remark { peer, text },
        Note::Stored(receipt) => Event::Stored {
            peer,
            receipt,
            connection: 0,
        },
        Note::Refused(fault) => Event::Refused { peer, fault },
        Note::Failed(code, why) => Event::Failed {
            peer,
            code: *code,
            why,
        },
    }
}

/// A task as the server's protocol.
struct LabProtocol(Arc<Settings>);

impl Protocol for LabProtocol {
    type Machine = LabMachine;

    fn accepted(&self, now: Moment) -> LabMachine {
        LabMachine::new(Arc::clone(&self.0), now)
    }

    fn turned_away(&self, _: Full, now: Moment) -> LabMachine {
        // No task has a word for it; an end is what all of them understand.
        let settings = Settings {
            task: Task::One,
            ..(*self.0).clone()
        };
        LabMachine::new(Arc::new(settings), now)
    }
}

impl Arguments {
    fn settings(&self) -> Arc<Settings> {
        Arc::new(Settings {
            strict: self.strict,
            quiet: self.quiet.0.unwrap_or(NEVER),
            idle: self.idle.0.unwrap_or(NEVER),
            keep: self.keep_for.0.unwrap_or(NEVER),
            trace: self.tracing.is_wanted(),
            ..Settings::of(self.task)
        })
    }
}
