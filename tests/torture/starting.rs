//! Calls that fail while a server starts: it serves all the same, or says why it can't and ends.

use std::fs;
use std::thread;

use rustix::process::Signal;

use super::injector::is_known;
use crate::common::{Server, Starter, signal, skipped};

/// The calls, by which errors, and which times. None of them is made by the loader of programs.
const CALLS: &[(&str, &str, &[u32])] = &[
    ("socket", "EMFILE", &[1]),
    ("bind", "EACCES", &[1]),
    ("bind", "EADDRINUSE", &[1]),
    ("listen", "EADDRINUSE", &[1]),
    ("setsockopt", "ENOMEM", &[1, 3]),
    ("epoll_create1", "EMFILE", &[1]),
    ("eventfd2", "ENFILE", &[1]),
    ("epoll_ctl", "ENOSPC", &[1, 2, 3, 4]),
    ("fcntl", "ENOMEM", &[1]),
    ("mkdirat", "EROFS", &[1]),
    ("linkat", "EPERM", &[1]),
    ("flock", "ENOLCK", &[1, 2]),
    ("fsync", "EIO", &[1, 2]),
    ("socketpair", "EMFILE", &[1, 2]),
    ("clone3", "EAGAIN", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
];

/// Calls that the C library makes or leaves: older ones start threads by `clone`, and some never ask for
/// `clone3` again once it was refused.
const LIBRARYS: &[&str] = &["clone3"];

/// Starts a server for each of them; gives what went wrong.
pub(crate) fn run() -> Vec<String> {
    thread::scope(|scope| {
        let all = CALLS.iter().filter_map(|(call, errno, whens)| {
            if !is_known(call) {
                skipped(&format!("{call}: there is no such call here"));
                return None;
            }
            let one = move |when: &u32| {
                let inject = format!("inject={call}:error={errno}:when={when}");
                start(call, &inject)
                    .err()
                    .map(|why| format!("{inject}: {why}"))
            };
            Some(scope.spawn(move || whens.iter().filter_map(one).collect::<Vec<_>>()))
        });
        let all: Vec<_> = all.collect();
        let wrong = all
            .into_iter()
            .flat_map(|one| one.join().expect("it doesn't panic"));
        wrong.collect()
    })
}

fn start(call: &str, inject: &str) -> Result<(), String> {
    let starter = Starter::new(&[]);
    let journal = starter.home().join("journal");
    let journal = journal
        .to_str()
        .expect("a temporary folder's path is text")
        .to_owned();
    let trace = starter.home().join("trace");
    let path = trace.to_str().expect("a temporary folder's path is text");
    let traced = format!("trace={call}");
    let strace = [
        "strace", "-D", "-f", "-qq", "-o", path, "-e", &traced, "-e", inject,
    ];
    let mut server = starter
        .with(&["--journal", &journal])
        .under(&strace)
        .unsaid()
        .start();
    let told = |line: &str| line.starts_with("listening on ") || line.starts_with("piecemeal: ");
    let line = server.err.wait_for(told);
    let serves = line.starts_with("listening on ");
    if serves {
        signal(server.child(), Signal::TERM);
    }
    ended(&mut server, if serves { 0 } else { 1 })?;
    match fs::read_to_string(&trace) {
        Ok(trace) if trace.contains("(INJECTED)") => Ok(()),
        _ if LIBRARYS.contains(&call) => {
            skipped(&format!(
                "{inject}: this C library makes the call less often"
            ));
            Ok(())
        }
        _ => Err("the call is not made so often".to_owned()),
    }
}

fn ended(server: &mut Server, code: i32) -> Result<(), String> {
    let status = server.wait();
    let lines = server.err.so_far();
    let panicked = lines.iter().any(|line| line.contains("panicked"));
    if status.code() == Some(code) && !panicked {
        return Ok(());
    }
    Err(format!("it ended with {status}: {lines:#?}"))
}
