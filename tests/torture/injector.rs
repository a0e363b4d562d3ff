//! Makes calls of a running server fail, by attaching `strace` to some of its threads.
//!
//! Only the threads that a case is about are traced, and only from then on: what the server does at
//! its start, and what its other threads do with the same call, is not counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal};

use super::{Case, Scene};
use crate::common::{Lines, command, signal, wait_until};

/// A tracer at work.
pub(super) struct Injector {
    strace: Child,
    /// How it is written in a trace.
    call: String,
    trace: PathBuf,
}

/// Whether a process can be traced that runs already.
pub(crate) fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let mut child = command("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a child that waits");
        let id = child.id().to_string();
        let tracing = [
            "-o",
            "/dev/null",
            "-e",
            "inject=fsync:error=EIO:when=1",
            "-p",
            &id,
        ];
        let strace = command("strace")
            .args(tracing)
            .stderr(Stdio::piped())
            .spawn();
        let possible = strace.is_ok_and(|mut strace| {
            let said = Lines::of(strace.stderr.take().expect("it is a pipe"));
            // It ends at once where it may not.
            let first = said.wait_for(|_| true);
            let _ = strace.kill();
            let _ = strace.wait();
            first.contains("attached")
        });
        let _ = child.kill();
        let _ = child.wait();
        possible
    })
}

/// Whether this system has a call of this name: not all have all of them.
pub(super) fn is_known(call: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(call.to_owned()).or_insert_with(|| {
        let tried = command("strace")
            .args(["-o", "/dev/null", "-e", &format!("trace={call}"), "true"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    })
}

/// The threads of a process that have a name; `loop` is its first one.
fn threads(process: Pid, name: &str) -> Vec<String> {
    let process = process.as_raw_nonzero().to_string();
    if name == "loop" {
        return vec![process];
    }
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let tasks = tasks.map(|task| task.expect("a thread").path());
    let named = tasks.filter(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    let id = |task: PathBuf| Some(task.file_name()?.to_str()?.to_owned());
    named.filter_map(id).collect()
}

impl Injector {
    /// Begins; when this returns, the threads are traced.
    pub(super) fn attach(process: Pid, case: &Case, home: &Path) -> Injector {
        let wanted = if case.thread == "bulk" { 2 } else { 1 };
        // A thread gives itself its name, and may not have got to that.
        let mut named = Vec::new();
        wait_until("a thread has its name", || {
            named = threads(process, &case.thread);
            named.len() >= wanted
        });
        let trace = home.join("injected");
        let Case {
            call, errno, when, ..
        } = case;
        let mut strace = command("strace");
        strace.arg("-y").arg("-o").arg(&trace);
        strace.args(["-e", &format!("trace={call},renameat2")]);
        strace.args(["-e", &format!("inject={call}:error={errno}:when={when}")]);
        if case.scene == Scene::Linked {
            strace.args(["-e", "inject=renameat2:error=EINVAL"]);
        }
        for thread in &named {
            strace.args(["-p", thread]);
        }
        let mut strace = strace
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was tried before");
        let said = Lines::of(strace.stderr.take().expect("it is a pipe"));
        said.wait_for_many(named.len(), |line| line.contains("attached"));
        let call = format!("{call}(");
        Injector {
            strace,
            call,
            trace,
        }
    }

    /// Ends, and gives the calls that were made to fail.
    pub(super) fn detach(mut self) -> Vec<String> {
        signal(&self.strace, Signal::TERM);
        self.strace.wait().expect("it is our child");
        let trace = fs::read_to_string(&self.trace).expect("strace has written");
        let injected = trace
            .lines()
            .filter(|line| line.contains("(INJECTED)") && line.contains(&self.call));
        injected.map(str::to_owned).collect()
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
