//! `piecemeal bench`: loads a server, its own or another, and says how fast it was.

mod arguments;
mod compare;
mod figures;
mod live;
mod own_server;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Subcommand;
use piecemeal::client::Why;
use piecemeal::client::bench::{self, Outcome, Plan};
use piecemeal::server::raise_descriptor_limit;
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::units::show_count;
use super::{Exit, print, tell};
pub(super) use arguments::Arguments;
use figures::Figures;
use live::Live;
use own_server::OwnServer;

/// Descriptors of all else: standard streams, poll, waker, signals, the server's lines.
const OTHER_DESCRIPTORS: usize = 16;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the ratios of two runs that --json has written: B to A
    #[command(after_help = super::exit::COMPARE_HELP)]
    Compare {
        /// The run that is compared with
        a: PathBuf,
        /// The run that is compared
        b: PathBuf,
    },
}

pub(super) fn run(arguments: Arguments) -> Exit {
    if let Some(Command::Compare { a, b }) = &arguments.command {
        return compare::run(a, b);
    }
    raise_descriptor_limit();
    let signals = match Signals::hear() {
        Ok(signals) => signals,
        Err(error) => {
            tell(format_args!("piecemeal: can't hear signals: {error}"));
            return Exit::Other;
        }
    };
    let measured = measure(&arguments, &signals);
    // Nothing has to be tidied up any more, so another signal may end what hangs.
    signals.let_the_next_one_end_it();
    match measured {
        Ok(Measured::Interrupted(signal)) => Exit::Signal(signal),
        Ok(Measured::Run(outcome, figures)) => {
            if outcome.ended.is_none() || outcome.tally.done + outcome.tally.failures() > 0 {
                print(if arguments.json {
                    figures.json()
                } else {
                    figures.to_string()
                });
            }
            if let Some(why) = &outcome.ended {
                tell(format_args!(
                    "piecemeal: it ended early: {why}{}",
                    hint(why)
                ));
            }
            signals.exit().unwrap_or_else(|| exit_of(&outcome))
        }
        Err((exit, text)) => {
            tell(format_args!("piecemeal: {text}"));
            signals.exit().unwrap_or(exit)
        }
    }
}

/// What a measurement came to.
enum Measured {
    Run(Box<Outcome>, Box<Figures>),
    /// A signal came before anything was measured.
    Interrupted(i32),
}

fn measure(arguments: &Arguments, signals: &Signals) -> Result<Measured, (Exit, String)> {
    let plan = arguments.plan().map_err(|text| (Exit::Usage, text))?;
    check_descriptors(plan.connections).map_err(|text| (Exit::Usage, text))?;
    if arguments.to.is_empty() {
        let (server, plan) = match start(arguments, plan, signals) {
            Ok(started) => started,
            Err(text) => {
                return match signals.signal() {
                    Some(signal) => Ok(Measured::Interrupted(signal)),
                    None => Err((Exit::Other, text)),
                };
            }
        };
        let measured = load(arguments, &plan, signals, Some(&server));
        // Stopped, and its folder removed, before anything is printed.
        if let Err(text) = server.stop() {
            tell(format_args!("piecemeal: {text}"));
        }
        return measured;
    }
    if arguments.durability.is_some() {
        let to = &arguments.to[0];
        tell(format_args!(
            "piecemeal: --durability is for a server that bench starts itself; {to} has its own"
        ));
    }
    load(arguments, &plan, signals, None)
}

/// Each connection is a descriptor; a run that fails of it in the middle says less.
fn check_descriptors(connections: usize) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    match limit {
        Some(limit) if connections + OTHER_DESCRIPTORS > limit => Err(format!(
            "{} and all else need {} descriptors, and the limit is {limit}; ulimit -n raises it",
            show_count(connections as u64, "connection"),
            connections + OTHER_DESCRIPTORS,
        )),
        _ => Ok(()),
    }
}

fn start(
    arguments: &Arguments,
    plan: Plan,
    signals: &Signals,
) -> Result<(OwnServer, Plan), String> {
    let server = OwnServer::start(arguments, &|| signals.signal().is_some())?;
    let to = server.endpoints().to_vec();
    Ok((server, Plan { to, ..plan }))
}

fn load(
    arguments: &Arguments,
    plan: &Plan,
    signals: &Signals,
    server: Option<&OwnServer>,
) -> Result<Measured, (Exit, String)> {
    let cpu = || {
        let server = server.and_then(OwnServer::cpu_s);
        (own_server::cpu_s("self"), server)
    };
    let before = cpu();
    let mut live = Live::new(signals, plan.duration);
    let outcome = bench::run(plan, &mut live);
    drop(live);
    let after = cpu();
    let outcome = outcome.map_err(|why| (Exit::of(&why), format!("{why}{}", hint(&why))))?;
    let spent = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
    let mut figures = Figures::of(plan, &outcome);
    figures.durability = server.map(|_| arguments.durability().as_str());
    figures.client_cpu_s = spent(before.0, after.0);
    figures.server_cpu_s = spent(before.1, after.1);
    Ok(Measured::Run(Box::new(outcome), Box::new(figures)))
}

/// The exit of a run that no signal ended.
fn exit_of(outcome: &Outcome) -> Exit {
    let (tally, errors) = (&outcome.tally, &outcome.tally.errors);
    let all_are = |word| errors.len() == 1 && errors.contains_key(word);
    match &outcome.ended {
        Some(why) => Exit::of(why),
        None if errors.is_empty() => Exit::Success,
        None if errors.contains_key("wrong-answer") || errors.contains_key("digest") => {
            Exit::Digest
        }
        None if tally.done > 0 => Exit::Partial,
        None if all_are("lost") => Exit::Connect,
        None if all_are("silent") || all_are("timeout") => Exit::TimedOut,
        None => Exit::Refused,
    }
}

/// What would help, where that is known.
fn hint(why: &Why) -> &'static str {
    match why {
        Why::Resolve { .. } => "; is the name right?",
        Why::Connect { .. } => {
            "; is the server running, and does it take so many? Without --to, bench starts its own"
        }
        Why::TimedOut => "; --timeout sets how long it may be silent",
        Why::TakenForText => "; --say measures texts",
        _ => "",
    }
}

/// Signals that end a run. What was begun is tidied up, whichever came and however often.
struct Signals {
    which: Arc<AtomicUsize>,
    tidy: Arc<AtomicBool>,
}

impl Signals {
    fn hear() -> std::io::Result<Signals> {
        let which = Arc::new(AtomicUsize::new(0));
        let tidy = Arc::new(AtomicBool::new(false));
        // A terminal that goes away is a signal too, and would leave the server behind.
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).map_err(std::io::Error::other)?;
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&tidy))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&which), number)?;
        }
        Ok(Signals { which, tidy })
    }

    fn signal(&self) -> Option<i32> {
        let signal = i32::try_from(self.which.load(Ordering::Relaxed)).ok();
        signal.filter(|signal| *signal != 0)
    }

    fn exit(&self) -> Option<Exit> {
        self.signal().map(Exit::Signal)
    }

    fn let_the_next_one_end_it(&self) {
        self.tidy.store(true, Ordering::Relaxed);
    }
}
