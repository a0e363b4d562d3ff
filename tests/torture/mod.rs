//! Single system calls of a running server are made to fail, one case at a time, while clients
//! upload whatever a server takes. A case is data: a call, the thread that makes it, an error, which
//! time, and a scene. Its name is all of these, and enough to play it again:
//!
//! ```text
//! PIECEMEAL_TORTURE=fsync:EIO:2:committer:plain cargo test --test torture
//! ```

mod injector;
mod load;
mod report;
pub(crate) mod starting;
mod table;
mod talk;
mod verdict;

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;

use injector::Injector;
pub(crate) use injector::is_possible;
use load::{Outcome, Upload};
pub(crate) use report::Report;
pub(crate) use table::all;
use table::{Row, Then};
use talk::Talk;

use crate::common::{Server, Starter, signal, skipped};
use rustix::process::Signal;

/// Cases that run at once: most of their time is spent in waiting for the disk and the tracer.
const AT_ONCE: usize = 4;

/// How the server is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// With limits to its space, with metadata, and with all bodies spliced.
    Plain,
    /// With a journal, and with small bodies copied.
    Journal,
    /// With files that have names of their own until they are whole, as where the file system knows
    /// no nameless ones.
    Named,
    /// The same, and files are named by a link, since the file system can't move them without
    /// replacing others.
    Linked,
}

/// One call that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    call: String,
    errno: String,
    /// Which time, counted from when the load begins, in each of the threads.
    when: String,
    thread: String,
    scene: Scene,
}

/// How a case went.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) case: Case,
    /// The calls that were made to fail. With none the call was not made so often.
    injected: usize,
    /// What the uploads were refused with, and `lost` for lost connections.
    codes: Vec<String>,
    /// Whether nothing was stored afterwards.
    refuses: bool,
    pub(crate) wrong: Vec<String>,
}

impl Case {
    fn new(row: &Row, errno: &str, when: &str, scene: Scene) -> Case {
        Case {
            call: row.call.to_owned(),
            errno: errno.to_owned(),
            when: when.to_owned(),
            thread: row.thread.to_owned(),
            scene,
        }
    }

    /// Whether it is about the first time that its call is made.
    pub(crate) fn is_of_first(&self) -> bool {
        ["1", "1+", "1..2"].contains(&&*self.when)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case {
            call,
            errno,
            when,
            thread,
            scene,
        } = self;
        let scene = format!("{scene:?}").to_lowercase();
        write!(f, "{call}:{errno}:{when}:{thread}:{scene}")
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Case, String> {
        let parts: Vec<String> = text.split(':').map(str::to_owned).collect();
        let [call, errno, when, thread, scene] = <[String; 5]>::try_from(parts)
            .map_err(|_| format!("{text} is not CALL:ERRNO:WHEN:THREAD:SCENE"))?;
        let scene = match &*scene {
            "plain" => Scene::Plain,
            "journal" => Scene::Journal,
            "named" => Scene::Named,
            "linked" => Scene::Linked,
            other => return Err(format!("there is no scene {other}")),
        };
        Ok(Case {
            call,
            errno,
            when,
            thread,
            scene,
        })
    }
}

/// Runs cases, some at a time, and collects how they went. Those are left out whose call this system
/// doesn't have, and that is said.
pub(crate) fn run(cases: Vec<Case>) -> Report {
    let (cases, strange): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .partition(|case| injector::is_known(&case.call));
    for case in strange {
        skipped(&format!("{case}: there is no such call here"));
    }
    let queue = Mutex::new(VecDeque::from(cases));
    let ended = Mutex::new(Report::default());
    let next = || {
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    let work = || {
        while let Some(case) = next() {
            // By itself, so that one that panics is only one that failed.
            let run = || run_one(&case);
            let name = case.to_string();
            let one = thread::scope(|scope| {
                let running = thread::Builder::new().name(name).spawn_scoped(scope, run);
                running.expect("a thread").join()
            });
            let one = one.unwrap_or_else(|_| Ended {
                wrong: vec!["it panicked, as was said above".to_owned()],
                ..Ended::of(&case)
            });
            ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(one);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Ended {
    fn of(case: &Case) -> Ended {
        Ended {
            case: case.clone(),
            injected: 0,
            codes: Vec::new(),
            refuses: false,
            wrong: Vec::new(),
        }
    }

    fn then(&self) -> Then {
        // A case that somebody makes up promises nothing but what is always true.
        table::row_of(&self.case).map_or(Then::FailureOrNothing, |row| row.then)
    }
}

/// A server as its scene wants it.
fn start(scene: Scene) -> Server {
    let common = ["--on-conflict", "overwrite", "--keep-metadata"];
    let starter = Starter::new(&common);
    match scene {
        Scene::Plain => {
            let limits = [
                "--quota",
                "1GiB",
                "--min-free",
                "1KiB",
                "--splice",
                "always",
            ];
            starter.with(&limits).start()
        }
        Scene::Journal => {
            let journal = starter.home().join("journal");
            let journal = journal
                .to_str()
                .expect("a temporary folder's path is text")
                .to_owned();
            starter.with(&["--journal", &journal]).start()
        }
        Scene::Named | Scene::Linked => {
            // The server tries whether a nameless file can be linked, and here it can't.
            let trace = [
                "strace",
                "-D",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=linkat",
            ];
            let inject = ["-e", "inject=linkat:error=EPERM:when=1"];
            let server = starter.under(&[&trace[..], &inject].concat()).start();
            server.end_tracing();
            server
        }
    }
}

fn run_one(case: &Case) -> Ended {
    let mut ended = Ended::of(case);
    let mut server = start(case.scene);
    let before = verdict::descriptors(server.pid());
    let injector = Injector::attach(server.pid(), case, server.home());
    let loaded = load::run(server.address());
    let injected = injector.detach();
    ended.injected = injected.len();
    let uploads = match loaded {
        Ok(uploads) => uploads,
        Err(talk::Hung(why)) => {
            ended.wrong.push(format!("{why}; injected: {injected:#?}"));
            ended.wrong.extend(server.err.so_far());
            return ended;
        }
    };
    let mut wrong = verdict::check_files(&uploads, &verdict::visible(&server));
    if case.scene == Scene::Journal {
        wrong.extend(verdict::check_journal(
            &uploads,
            &server.home().join("journal"),
        ));
    }
    // What can't be taken away stays until the next start.
    let may_be_stale = case.call == "unlinkat";
    // An upload that can't be gone on with is sent anew beside its partial, which rests until it is
    // swept.
    let may_rest = may_be_stale || case.thread == "resume";
    let left = || match may_be_stale {
        true => Vec::new(),
        false => {
            let mut left = verdict::left_behind(&server, &uploads, may_rest);
            // Where no sync says that it can go, what was replaced is held until the next start.
            left.retain(|name| !(case.call == "fsync" && name.ends_with(".held")));
            left
        }
    };
    wrong.extend(verdict::check_traces(&server, &before, left));
    let probe = load::one(&mut Talk::new(server.address()), "probe");
    ended.note_codes(&uploads, &probe);
    if let Err(talk::Hung(why)) = &probe {
        wrong.push(why.clone());
    }
    ended.judge(&mut wrong);
    // The committer syncs a nameless file, or a folder that has got a file.
    let is_nameless = matches!(case.scene, Scene::Plain | Scene::Journal);
    let of_folder = |call: &String| {
        call.contains("fsync(")
            && !call.contains("EINTR")
            && !call.contains("(deleted)")
            && !call.contains(".piecemeal")
    };
    let is_folders = case.thread == "committer" && is_nameless && injected.iter().any(of_folder);
    if is_folders && !ended.codes.iter().any(|code| code == "unknown") {
        wrong.push("a folder failed to sync, and nobody was told `unknown`".to_owned());
    }
    let visible = verdict::visible(&server);
    check_end(&mut server, &mut wrong);
    check_restart(server, &visible, &uploads, may_rest, &mut wrong);
    if !wrong.is_empty() {
        let outcomes = uploads.iter().map(|it| (&it.name, &it.outcome));
        let outcomes: Vec<_> = outcomes
            .filter(|(_, it)| !matches!(it, Outcome::Stored(_)))
            .collect();
        wrong.push(format!("not stored: {outcomes:?}"));
        wrong.push(format!("injected: {injected:#?}"));
    }
    ended.wrong = wrong;
    ended
}

impl Ended {
    fn note_codes(&mut self, uploads: &[Upload], probe: &Result<Upload, talk::Hung>) {
        self.codes
            .extend(uploads.iter().flat_map(|upload| upload.codes.clone()));
        self.codes.sort_unstable();
        self.codes.dedup();
        self.refuses = match probe {
            Ok(Upload {
                outcome: Outcome::Stored(_),
                ..
            }) => false,
            Ok(Upload {
                outcome: Outcome::Refused(code),
                ..
            }) => code == "io",
            _ => false,
        };
        if !self.refuses
            && !matches!(
                probe,
                Ok(Upload {
                    outcome: Outcome::Stored(_),
                    ..
                })
            )
        {
            self.codes.push(format!("then {probe:?}"));
        }
    }

    /// Whether what came of it is what may.
    fn judge(&self, wrong: &mut Vec<String>) {
        let of_errno = table::code_of(&self.case.errno);
        let may: Vec<&str> = match self.then() {
            _ if self.injected == 0 => vec![],
            Then::Nothing => vec![],
            Then::Refusal | Then::Either => of_errno.to_vec(),
            Then::EitherOrUnknown => [of_errno, &["unknown"]].concat(),
            Then::Loss => vec!["lost"],
            Then::LossOrRefusal => [of_errno, &["lost"]].concat(),
            Then::Failure | Then::FailureOrNothing => [of_errno, &["io", "unknown"]].concat(),
        };
        let other = self.codes.iter().filter(|code| !may.contains(&&***code));
        let other: Vec<_> = other.collect();
        if !other.is_empty() {
            wrong.push(format!("expected {may:?}, and there was {other:?}"));
        }
        let must = matches!(
            self.then(),
            Then::Refusal | Then::Loss | Then::LossOrRefusal
        );
        if must && self.injected > 0 && self.codes.is_empty() {
            wrong.push("the call failed, and nobody was told".to_owned());
        }
        let refuses = match self.then() {
            Then::Failure => self.injected > 0,
            Then::FailureOrNothing => self.refuses,
            _ => false,
        };
        match (refuses, self.refuses) {
            (true, false) => wrong.push("a sync has failed, and files are stored on".to_owned()),
            (false, true) => wrong.push("nothing is stored any more".to_owned()),
            _ => {}
        }
    }
}

/// The server ends well when it is asked to, and has never panicked.
fn check_end(server: &mut Server, wrong: &mut Vec<String>) {
    signal(server.child(), Signal::TERM);
    let status = server.wait();
    let panicked = |line: &&String| line.contains("panicked") || line.contains("has died");
    let lines = server.err.so_far();
    wrong.extend(lines.iter().filter(panicked).cloned());
    if status.code() != Some(0) {
        wrong.push(format!("it ended with {status}: {lines:#?}"));
    }
}

/// Started again, it serves, and has lost nothing.
fn check_restart(
    server: Server,
    before: &std::collections::BTreeMap<String, Vec<u8>>,
    uploads: &[Upload],
    may_rest: bool,
    wrong: &mut Vec<String>,
) {
    let server = server.killed(&["--on-conflict", "overwrite"]).start();
    if verdict::visible(&server) != *before {
        wrong.push("a new start has changed the files".to_owned());
    }
    let left = verdict::left_behind(&server, uploads, may_rest);
    if !left.is_empty() {
        wrong.push(format!("a new start has left {left:?} in .piecemeal"));
    }
    let probe = load::one(&mut Talk::new(server.address()), "after the start");
    if !matches!(
        &probe,
        Ok(Upload {
            outcome: Outcome::Stored(_),
            ..
        })
    ) {
        wrong.push(format!("a new start stores nothing: {probe:?}"));
    }
}
