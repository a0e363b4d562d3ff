//! Every system call on the way of an upload, failing in each way that it can: what was answered OK
//! is there, nothing half written is seen, no descriptor and no partial is left, and the server goes
//! on, or refuses everything where a sync has failed.
//!
//! The short form is part of the suite. All cases, and a table of them, take about
//! half an hour:
//!
//! ```text
//! cargo test --release --test torture -- --ignored --nocapture
//! ```

mod common;
#[path = "torture/mod.rs"]
mod torture;

use common::skipped;
use torture::{Case, Report};

/// One of each kind: of each call, of each way that it may end.
const SHORT: &[&str] = &[
    "accept4:ECONNABORTED:1:loop:plain",
    "accept4:EMFILE:2:loop:plain",
    "epoll_ctl:ENOMEM:2:loop:plain",
    "epoll_wait:EINTR:3:loop:plain",
    "recvfrom:ECONNRESET:4:loop:plain",
    "sendto:EPIPE:3:loop:plain",
    "openat:EMFILE:1+:loop:plain",
    "openat:ENOSPC:3:loop:named",
    "fallocate:EINTR:1:loop:plain",
    "pipe2:EMFILE:1:loop:plain",
    "splice:ENOSPC:6:loop:plain",
    "splice:EINVAL:4:loop:plain",
    "write:EIO:5:loop:journal",
    "pread64:EIO:1:committer:plain",
    "fsync:EIO:1:committer:plain",
    "fsync:EIO:6:committer:plain",
    "fsync:EINTR:2:committer:plain",
    "linkat:ENOSPC:1+:committer:plain",
    "linkat:EIO:2:committer:plain",
    "renameat2:EROFS:2:committer:named",
    "newfstatat:EIO:1+:committer:named",
    "renameat:EIO:1:committer:plain",
    "mkdirat:EDQUOT:2:committer:plain",
    "write:ENOSPC:1:committer:journal",
    "fdatasync:EIO:1:committer:journal",
    "fallocate:ENOSPC:1..2:committer:journal",
    "unlinkat:EIO:1:committer:plain",
    "fsync:EIO:2:bulk:plain",
    "openat:EIO:2:resume:plain",
    "newfstatat:EIO:1+:resume:plain",
    "statx:EIO:1:look:plain",
    "fsync:EIO:1:look:plain",
    "unlinkat:EIO:1:committer:linked",
];

/// What was asked for by a variable, or else this.
fn cases(otherwise: impl FnOnce() -> Vec<Case>) -> Vec<Case> {
    match std::env::var("PIECEMEAL_TORTURE") {
        Ok(given) => given
            .split(',')
            .map(|case| case.parse().expect("a case's name"))
            .collect(),
        Err(_) => otherwise(),
    }
}

/// Runs cases and expects all of them to go well; nothing where calls can't be made to fail.
fn torture(otherwise: impl FnOnce() -> Vec<Case>) -> Option<Report> {
    if !torture::is_possible() {
        skipped("strace can't be attached here");
        return None;
    }
    let report = torture::run(cases(otherwise));
    let failures = report.failures();
    assert!(failures.is_empty(), "{report}\n{}", failures.join("\n"));
    Some(report)
}

/// Expects that of ten calls at least so many were made as often as their case wants it: the others show
/// nothing.
fn expect_reached(report: &Report, of_ten: usize) {
    let unreached: Vec<_> = report.unreached().map(Case::to_string).collect();
    let fit = report.reached() * 10 >= report.len() * of_ten;
    assert!(fit, "the calls are not made so often: {unreached:?}");
}

/// Whether somebody has asked for certain cases: there may be one that no server gets to.
fn are_asked_for() -> bool {
    std::env::var_os("PIECEMEAL_TORTURE").is_some()
}

#[test]
fn a_call_that_fails_costs_no_more_than_what_it_was_for() {
    let short = || SHORT.iter().map(|case| case.parse().unwrap()).collect();
    if let Some(report) = torture(short)
        && !are_asked_for()
    {
        expect_reached(&report, 9);
        // How often a thread makes a call depends on how uploads come together, but not whether.
        let never = report.unreached().filter(|case| case.is_of_first());
        let never: Vec<_> = never.map(Case::to_string).collect();
        assert!(never.is_empty(), "these calls are never made: {never:?}");
    }
}

#[test]
fn a_server_that_can_not_start_says_why_and_ends() {
    if !torture::is_possible() {
        return skipped("strace can't be attached here");
    }
    let wrong = torture::starting::run();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "takes about half an hour"]
fn every_call_may_fail_in_every_way() {
    if let Some(report) = torture(torture::all) {
        skipped(&report.to_string());
        if !are_asked_for() {
            expect_reached(&report, 8);
        }
    }
}
