//! Runs cases, one at a time, and sees to it that each finds a server that is alive.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thiserror::Error;

use super::bench::Bench;
use super::case::{Case, select};
use super::cases;
use super::folder::Folder;
use super::proc;
use super::program::{Program, StartError};
use super::verdict::{Tally, Verdict};
use super::watch::{PATIENCE_SPENT, Watch};
use crate::lab::{Grammar, Task};
use crate::net::{Address, Endpoint};

/// All cases together take no longer, however slow the server is. A right one takes a third.
const RUN_MOST: Duration = Duration::from_secs(150);
/// How long a server that has listened may be away.
const HEARD_MOST: Duration = Duration::from_secs(1);
/// Failures after which the patience is less: what fails often is mostly waited for in vain.
const FAILURES: usize = 3;

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which task's server it is.
    pub task: Task,
    /// How messages are laid out.
    pub grammar: Grammar,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Where its files land.
    pub folder: Option<std::path::PathBuf>,
    /// The command that starts it.
    pub start: Option<String>,
    /// Numbers of the cases to be run; empty for all.
    pub only: Vec<String>,
    /// The number of a signal that ends it all, or 0.
    pub signal: Arc<AtomicUsize>,
}

/// Why nothing can be said at all.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The choice of cases makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The address has no meaning.
    #[error("can't find {0}: {1}; is the name right?")]
    Resolve(Endpoint, io::Error),
    /// Nobody is there.
    #[error(
        "nobody listens at {0}; start the server first, or let it be started with --start \"python3 $PWD/server.py\""
    )]
    Nobody(Endpoint),
    /// The server can't be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The folder is none.
    #[error("{0} is no folder; --dir is the folder that the server stores files into")]
    Folder(String),
    /// The temporary folder can't be made.
    #[error("can't make a folder for the server's files: {0}")]
    Temporary(io::Error),
}

/// What a case came to.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Which.
    pub case: &'static Case,
    /// What it came to.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// Runs the chosen cases in their order. `each` hears of every case as it is done.
pub fn run(
    settings: &Settings,
    each: &mut dyn FnMut(&Checked),
) -> Result<Vec<Checked>, CheckError> {
    let cases =
        select(settings.task, settings.grammar, &settings.only).map_err(CheckError::Usage)?;
    let mut addresses = settings
        .endpoint
        .resolve()
        .map_err(|error| CheckError::Resolve(settings.endpoint.clone(), error))?;
    let watch = Watch::new(Arc::clone(&settings.signal));
    let mut temporary = None;
    let folder = folder(settings, &mut temporary)?;
    // A host's name may have two addresses, and a server just one of them.
    let heard = addresses
        .iter()
        .position(|address| listens(address, &watch));
    let address = match (&settings.start, heard) {
        (_, Some(at)) => addresses.swap_remove(at),
        (Some(_), None) => addresses.swap_remove(0),
        (None, None) => return Err(CheckError::Nobody(settings.endpoint.clone())),
    };
    let mut bench = Bench::new(
        settings.task,
        settings.grammar,
        address.clone(),
        watch.clone(),
    );
    if let Some(command) = &settings.start {
        let here = std::env::current_dir().map_err(CheckError::Temporary)?;
        let path = folder.as_ref().map_or(here.as_path(), Folder::path);
        bench.server = Some(Program::start(
            command,
            path,
            &settings.endpoint,
            &address,
            watch,
        )?);
    }
    bench.folder = folder;
    Ok(Runner::new(bench).run(&cases, each))
}

/// Where files land: the folder that was named, or a fresh one for a server that is started.
fn folder(
    settings: &Settings,
    temporary: &mut Option<TempDir>,
) -> Result<Option<Folder>, CheckError> {
    if let Some(path) = &settings.folder {
        let full = path.canonicalize().ok().filter(|full| full.is_dir());
        let full = full.ok_or_else(|| {
            let shown = crate::proto::text::escaped(path.as_os_str().as_encoded_bytes());
            CheckError::Folder(shown.to_string())
        })?;
        return Ok(Some(Folder::new(full)));
    }
    if settings.start.is_none() {
        return Ok(None);
    }
    let made = tempfile::Builder::new()
        .prefix("piecemeal-check-")
        .tempdir()
        .map_err(CheckError::Temporary)?;
    // Deep enough that `../../x` still lands in what is removed at the end.
    let deep = made.path().join("outside").join("outside").join("uploads");
    std::fs::create_dir_all(&deep).map_err(CheckError::Temporary)?;
    *temporary = Some(made);
    Ok(Some(Folder::new(deep)))
}

/// Whether somebody listens there, found out without connecting where possible: some servers spin
/// for ever after a connection without a byte, and that is for a case to find.
fn listens(address: &Address, watch: &Watch) -> bool {
    if let Address::Tcp(tcp) = address
        && let Some(listens) = proc::listens(*tcp)
    {
        return listens;
    }
    super::probe::Probe::connect("", address, watch.clone()).is_ok()
}

struct Runner {
    bench: Bench,
    began: Instant,
    tally: Tally,
    /// Why no further case can be told, and the case after which that is so.
    gone: Option<String>,
}

impl Runner {
    fn new(bench: Bench) -> Runner {
        Runner {
            bench,
            began: Instant::now(),
            tally: Tally::default(),
            gone: None,
        }
    }

    fn run(mut self, cases: &[&'static Case], each: &mut dyn FnMut(&Checked)) -> Vec<Checked> {
        let mut done = Vec::new();
        for case in cases {
            let began = Instant::now();
            self.find_alive(case);
            let verdict = match self.why_not() {
                Some(why) => Verdict::CantTell(why),
                None => self.judge(case),
            };
            self.tally.count(&verdict);
            let checked = Checked {
                case,
                verdict,
                took: began.elapsed(),
            };
            each(&checked);
            if matches!(checked.verdict, Verdict::Fail(_)) {
                self.look_after(case);
            }
            done.push(checked);
        }
        self.bench.tidy_up();
        done
    }

    /// Why the next case can't be run.
    fn why_not(&self) -> Option<String> {
        if self.bench.watch.interrupted() {
            return Some("interrupted".to_owned());
        }
        if self.began.elapsed() > RUN_MOST {
            let seconds = RUN_MOST.as_secs();
            return Some(format!("{seconds} s are over; run it alone with --only"));
        }
        self.gone.clone()
    }

    /// A server may die a while after the case that killed it, and what is dead passes nothing.
    fn find_alive(&mut self, case: &Case) {
        let Address::Tcp(address) = self.bench.address else {
            return;
        };
        // Where it can't be seen, the next case finds out. A server that binds anew for each
        // connection is away for a moment.

        let heard = || (proc::listens(address) != Some(false)).then_some(());
        let listens = self.bench.watch.poll(HEARD_MOST, heard).is_some();
        match &mut self.bench.server {
            Some(server) if !listens && !self.bench.watch.interrupted() => {
                if let Err(error) = server.restart() {
                    self.gone = Some(format!(
                        "before case {} the server was gone, and could not be started again: {error}",
                        case.id
                    ));
                }
            }
            None if !listens => {
                self.gone.get_or_insert_with(|| {
                    format!(
                        "nobody listens any more since before case {}; start the server again",
                        case.id
                    )
                });
            }
            _ => {}
        }
    }

    fn judge(&mut self, case: &Case) -> Verdict {
        self.bench.begin();
        let outcome = (case.run)(&mut self.bench);
        if self.bench.watch.interrupted() {
            return Verdict::CantTell("interrupted".to_owned());
        }
        let verdict = match outcome {
            Err(verdict) => verdict,
            Ok(()) => match self.bench.unseen() {
                Some(why) => Verdict::CantTell(why.to_owned()),
                None => Verdict::Pass,
            },
        };
        match verdict {
            Verdict::Fail(mut finding) => {
                self.bench.explain(&mut finding, case.mistake);
                Verdict::Fail(finding)
            }
            Verdict::Weak(mut finding) => {
                finding
                    .mistake
                    .get_or_insert_with(|| case.mistake.to_owned());
                self.bench.tell_what_it_printed(&mut finding);
                Verdict::Weak(finding)
            }
            other => other,
        }
    }

    /// After a failure: the next case shall not suffer for it.
    fn look_after(&mut self, case: &Case) {
        if self.tally.fail >= FAILURES {
            self.bench.watch.set_patience(PATIENCE_SPENT);
            if !self.bench.watch.has_heard() {
                self.gone = Some(
                    "the server has never sent a byte nor ended a connection; is it one of the course's? --only runs any case all the same"
                        .to_owned(),
                );
            }
        }
        if self.tally.pass == 0 {
            // A server that has never done anything right: no point in asking whether it still
            // does.
            return;
        }
        self.bench.begin();
        if cases::plain_exchange(&mut self.bench).is_ok() {
            return;
        }
        if self.bench.server.is_some() {
            return self.restart(case);
        }
        self.gone = Some(format!(
            "the server serves nobody since case {}; start it again and leave that case out, or let it be started with --start, which does so by itself",
            case.id
        ));
    }

    fn restart(&mut self, case: &Case) {
        let Some(server) = &mut self.bench.server else {
            return;
        };
        if let Err(error) = server.restart() {
            self.gone = Some(format!(
                "after case {} the server could not be started again: {error}",
                case.id
            ));
        }
    }
}
