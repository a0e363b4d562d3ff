//! Which calls are made to fail, in which thread, by which errors, and what may come of it.
//!
//! Only what a kernel does is tried. Errors that would be lies are left out: a socket that says
//! `EAGAIN` while it has bytes and never tells of them, an eventfd that can't be written, a `close`
//! that leaves its descriptor open. Of `write` in a thread that also wakes the loop, only the first
//! is known to be of a file.

use super::{Case, Scene};

/// What a failed call may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is made up for: every upload is stored.
    Nothing,
    /// Some upload is refused, and the server goes on.
    Refusal,
    /// The same, where the call may also have been about something that can be done without.
    Either,
    /// The same, or a look at what has a name behind a file's move there, which takes nothing back.
    EitherOrUnknown,
    /// A connection is lost, and the server goes on.
    Loss,
    /// One of these two, as it was the socket's end or the file's.
    LossOrRefusal,
    /// Some upload is refused, or nobody knows whether it is safe, and nothing is stored from then
    /// on.
    Failure,
    /// It is one or the other, as it was an upload's own or a record's.
    FailureOrNothing,
}

/// Calls that fail alike.
pub(super) struct Row {
    pub(super) call: &'static str,
    pub(super) thread: &'static str,
    pub(super) errnos: &'static [&'static str],
    /// As `strace` takes them. `1+` is every time.
    pub(super) whens: &'static [&'static str],
    pub(super) scenes: &'static [Scene],
    pub(super) then: Then,
}

use Scene::{Journal, Linked, Named, Plain};
use Then::{
    Either, EitherOrUnknown, Failure, FailureOrNothing, Loss, LossOrRefusal, Nothing, Refusal,
};

const ONCE: &[&str] = &["1"];
const TWICE: &[&str] = &["1", "2"];
const SOME: &[&str] = &["1", "2", "3", "1+"];
const TEN: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
const TEN_AND_ALWAYS: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "1+"];

const PLAIN: &[Scene] = &[Plain];
const JOURNAL: &[Scene] = &[Journal];
const NAMED: &[Scene] = &[Named];
const LINKED: &[Scene] = &[Linked];
const BOTH: &[Scene] = &[Plain, Named];

const fn row(
    (thread, call): (&'static str, &'static str),
    errnos: &'static [&'static str],
    whens: &'static [&'static str],
    scenes: &'static [Scene],
    then: Then,
) -> Row {
    Row {
        call,
        thread,
        errnos,
        whens,
        scenes,
        then,
    }
}

/// What a folder's file system says.
const DISK: &[&str] = &[
    "EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "ENOMEM",
];
const BROKEN: &[&str] = &["EIO", "ENOMEM"];
const FULL: &[&str] = &["ENOSPC", "EDQUOT", "EIO"];
const OPENING: &[&str] = &[
    "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO",
];

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // The loop: connections.
    row(("loop", "accept4"), &["ECONNABORTED", "EPERM", "EPROTO", "EINTR", "ENETDOWN"], TEN, PLAIN, Nothing),
    row(("loop", "accept4"), &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"], SOME_FIRST, PLAIN, Nothing),
    row(("loop", "epoll_ctl"), &["ENOMEM", "ENOSPC"], &["1", "2", "3", "4", "5", "6"], PLAIN, Loss),
    row(("loop", "epoll_wait"), &["EINTR"], TEN, PLAIN, Nothing),
    row(("loop", "recvfrom"), &["ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENOMEM"], TEN, PLAIN, Loss),
    row(("loop", "recvfrom"), &["EINTR"], TEN_AND_EACH_OTHER, PLAIN, Nothing),
    row(("loop", "sendto"), &["EPIPE", "ECONNRESET", "ENOBUFS"], TEN, PLAIN, Loss),
    row(("loop", "sendto"), &["EINTR"], TEN_AND_EACH_OTHER, PLAIN, Nothing),
    row(("loop", "shutdown"), &["ENOTCONN"], TWICE, PLAIN, Nothing),
    // The loop: files.
    row(("loop", "openat"), OPENING, TEN_AND_ALWAYS, PLAIN, Refusal),
    row(("loop", "openat"), OPENING, SOME, NAMED, Refusal),
    row(("loop", "flock"), &["ENOLCK", "ENOMEM"], SOME, NAMED, Refusal),
    row(("loop", "openat2"), &["EMFILE", "ENFILE", "EIO", "EACCES", "ENOMEM"], SOME, PLAIN, Refusal),
    row(("loop", "openat2"), &["ENOSYS"], SOME, PLAIN, Nothing),
    row(("loop", "newfstatat"), BROKEN, SOME, PLAIN, Refusal),
    row(("loop", "fstatfs"), &["EIO", "ENOSYS"], SOME, PLAIN, Either),
    row(("loop", "fallocate"), &["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EPERM"], SOME, PLAIN, Refusal),
    row(("loop", "fallocate"), &["EOPNOTSUPP", "ENOSYS", "EINTR"], TWICE, PLAIN, Nothing),
    row(("loop", "pipe2"), &["EMFILE", "ENFILE"], SOME, PLAIN, Nothing),
    row(("loop", "fcntl"), &["EPERM", "EBUSY", "ENOMEM"], SOME, PLAIN, Nothing),
    row(("loop", "splice"), &["EIO", "ENOSPC", "EDQUOT", "ENOMEM", "ECONNRESET"], TEN, PLAIN, LossOrRefusal),
    row(("loop", "splice"), &["EINVAL", "ENOSYS", "EINTR"], TEN, PLAIN, Nothing),
    row(("loop", "write"), &["ENOSPC", "EDQUOT", "EFBIG", "EIO"], TEN_AND_ALWAYS, JOURNAL, Refusal),
    row(("loop", "write"), &["EINTR"], TEN, JOURNAL, Nothing),
    // The committer.
    row(("committer", "pread64"), BROKEN, SOME, PLAIN, Either),
    row(("committer", "pread64"), &["EINTR"], TWICE, PLAIN, Nothing),
    row(("committer", "fchmod"), &["EPERM", "EIO", "EROFS"], ONCE, PLAIN, Refusal),
    row(("committer", "utimensat"), &["EPERM", "EIO", "EROFS"], ONCE, PLAIN, Refusal),
    row(("committer", "sync_file_range"), &["EIO", "ENOSPC", "ENOMEM", "ENOSYS"], SOME, PLAIN, Nothing),
    row(("committer", "fsync"), &["EIO", "ENOSPC", "EDQUOT", "EROFS"], TEN_AND_ALWAYS, PLAIN, Failure),
    row(("committer", "fsync"), &["EIO"], TEN_AND_ALWAYS, &[Journal, Named], Failure),
    row(("committer", "fsync"), &["EINTR"], TEN, PLAIN, Nothing),
    row(("committer", "syncfs"), &["EIO", "ENOSPC"], SOME, PLAIN, Failure),
    row(("committer", "syncfs"), &["EINTR"], TWICE, PLAIN, Nothing),
    row(("committer", "linkat"), DISK, TEN_AND_ALWAYS, PLAIN, Refusal),
    row(("committer", "linkat"), &["EMLINK", "EXDEV"], TWICE, PLAIN, Refusal),
    row(("committer", "linkat"), &["EEXIST"], TEN, PLAIN, Either),
    row(("committer", "renameat2"), DISK, SOME, BOTH, Refusal),
    row(("committer", "renameat2"), &["EINVAL", "ENOSYS"], SOME, NAMED, Nothing),
    row(("committer", "renameat"), DISK, SOME, BOTH, Refusal),
    row(("committer", "renameat"), &["EISDIR", "ENOTEMPTY"], ONCE, PLAIN, Refusal),
    row(("committer", "mkdirat"), &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMLINK"], SOME, PLAIN, Refusal),
    row(("committer", "mkdirat"), &["ENOTDIR", "ELOOP"], SOME, PLAIN, Refusal),
    row(("committer", "openat2"), &["EMFILE", "EIO", "EACCES", "ENOMEM"], SOME, PLAIN, Either),
    row(("committer", "openat"), &["EMFILE", "ENFILE", "EIO", "EACCES", "ENOMEM"], TEN_AND_ALWAYS, PLAIN, Either),
    row(("committer", "newfstatat"), BROKEN, SOME, BOTH, EitherOrUnknown),
    row(("committer", "fstat"), BROKEN, SOME, BOTH, EitherOrUnknown),
    row(("committer", "statx"), BROKEN, SOME, PLAIN, Either),
    // Behind a name, a journal that can't be looked at is one that can't be written to.
    row(("committer", "statx"), BROKEN, SOME, &[Journal], FailureOrNothing),
    row(("committer", "flock"), &["ENOLCK", "EAGAIN"], SOME, PLAIN, Either),
    row(("committer", "unlinkat"), &["EIO", "EACCES", "EROFS"], SOME, BOTH, Nothing),
    row(("committer", "linkat"), DISK, SOME, LINKED, Refusal),
    row(("committer", "unlinkat"), &["EIO", "EROFS"], SOME, LINKED, Nothing),
    row(("committer", "read"), &["EIO"], SOME, PLAIN, Nothing),
    row(("committer", "write"), FULL, ONCE, JOURNAL, Failure),
    row(("committer", "write"), &["EINTR"], ONCE, JOURNAL, Nothing),
    row(("committer", "fdatasync"), FULL, SOME, JOURNAL, Failure),
    row(("committer", "fdatasync"), &["EINTR"], TWICE, JOURNAL, Nothing),
    row(("committer", "fallocate"), FULL, &["1", "1..2"], JOURNAL, Either),
    row(("committer", "fallocate"), &["EOPNOTSUPP", "EINTR"], ONCE, JOURNAL, Nothing),
    // The bulk workers.
    row(("bulk", "fsync"), FULL, SOME, PLAIN, FailureOrNothing),
    row(("bulk", "pread64"), BROKEN, SOME, PLAIN, Either),
    row(("bulk", "pread64"), &["EINTR"], TWICE, PLAIN, Nothing),
    row(("bulk", "sync_file_range"), &["EIO", "ENOMEM"], SOME, PLAIN, Nothing),
    row(("bulk", "fallocate"), FULL, ONCE, PLAIN, Either),
    row(("bulk", "fallocate"), &["EOPNOTSUPP", "EINTR"], ONCE, PLAIN, Nothing),
    row(("bulk", "ftruncate"), &["EIO", "ENOSPC", "EPERM"], TWICE, PLAIN, Nothing),
    row(("bulk", "openat"), OPENING, TWICE, PLAIN, Nothing),
    row(("bulk", "renameat"), DISK, TWICE, PLAIN, Nothing),
    row(("bulk", "statx"), BROKEN, SOME, PLAIN, Nothing),
    // Who opens uploads that can be resumed.
    row(("resume", "mkdirat"), DISK, ONCE, PLAIN, Either),
    row(("resume", "openat"), OPENING, TEN_AND_ALWAYS, PLAIN, Either),
    row(("resume", "flock"), &["ENOLCK", "ENOMEM"], SOME, PLAIN, Either),
    row(("resume", "flock"), &["EAGAIN"], TWICE, PLAIN, Either),
    row(("resume", "fstat"), BROKEN, SOME, PLAIN, Either),
    row(("resume", "newfstatat"), BROKEN, SOME, PLAIN, Either),
    row(("resume", "statx"), BROKEN, SOME, PLAIN, Either),
    row(("resume", "read"), &["EIO"], SOME, PLAIN, Either),
    row(("resume", "write"), FULL, ONCE, PLAIN, Either),
    row(("resume", "renameat"), DISK, SOME, PLAIN, Either),
    row(("resume", "ftruncate"), &["EIO", "EPERM"], TWICE, PLAIN, Either),
    row(("resume", "fallocate"), FULL, SOME, PLAIN, Either),
    row(("resume", "fallocate"), &["EOPNOTSUPP", "EINTR"], TWICE, PLAIN, Nothing),
    row(("resume", "fsync"), FULL, SOME, PLAIN, FailureOrNothing),
    // Who compares files that are there with announced digests.
    row(("look", "openat2"), &["EMFILE", "EIO", "ENOMEM"], SOME, PLAIN, Either),
    row(("look", "pread64"), BROKEN, SOME, PLAIN, Either),
    row(("look", "statx"), BROKEN, SOME, PLAIN, Either),
    row(("look", "fsync"), FULL, SOME, PLAIN, Failure),
];

/// The server rests for half a second each time.
const SOME_FIRST: &[&str] = &["1", "2", "3", "1..4"];
const TEN_AND_EACH_OTHER: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "1+2"];

/// Every case there is.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in ROWS {
        for scene in row.scenes {
            for errno in row.errnos {
                for when in row.whens {
                    cases.push(Case::new(row, errno, when, *scene));
                }
            }
        }
    }
    cases
}

/// The row that a case is of.
pub(super) fn row_of(case: &Case) -> Option<&'static Row> {
    ROWS.iter().find(|row| {
        row.call == case.call
            && row.thread == case.thread
            && row.errnos.contains(&&*case.errno)
            && row.scenes.contains(&case.scene)
    })
}

/// The code for an upload that fails of an error.
pub(super) fn code_of(errno: &str) -> &'static [&'static str] {
    match errno {
        "ENOSPC" | "EDQUOT" | "EFBIG" => &["no-space"],
        "EEXIST" | "EISDIR" | "ENOTEMPTY" => &["exists"],
        "ENOTDIR" | "ELOOP" => &["bad-name"],
        // A lock is another server's: the client is to come back.
        "EAGAIN" => &["busy"],
        _ => &["io"],
    }
}
