//! How many connections the process has descriptors for.
//!
//! A connection that uploads holds two: its socket and its file. A server that accepted until the
//! last descriptor was gone could not open a single file. So each connection is counted as two
//! when it is accepted, and nobody is accepted whom there is no file for.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::session::CLAIM;

/// Descriptors kept for what comes and goes: a file that is looked at, a folder that is swept, a
/// library's.
const RESERVE: usize = 16;
/// What is taken for open where the system doesn't say: standard streams, poll, waker, folder.
const ASSUMED_OPEN: usize = 32;
/// Where there is no limit at all, a number that no machine's memory reaches.
const UNLIMITED: usize = 1 << 24;

/// How many connections a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Most connections at once.
    pub most: usize,
    /// Whether that is what was asked for; else it is what there are descriptors for.
    pub as_asked: bool,
    /// Descriptors that the process may have open.
    pub descriptors: usize,
}

/// Raises the soft limit on open files to the hard one, for the whole process.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::warn!("can't raise the limit on open files: {error}");
        }
    }
}

/// How many connections the process has descriptors for, beside what it has open now.
pub fn possible_connections() -> usize {
    share(None, 1).1.most
}

/// Descriptors that connections can have, now that everything else is open, and how many
/// connections that makes, for one of so many servers.
pub(super) fn share(asked: Option<usize>, servers: usize) -> (usize, Connections) {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(UNLIMITED, |limit| {
        usize::try_from(limit).unwrap_or(UNLIMITED)
    });
    let open = std::fs::read_dir("/proc/self/fd").map_or(ASSUMED_OPEN, Iterator::count);
    let free = limit.saturating_sub(open + RESERVE) / servers;
    let free = free.saturating_sub(crate::store::descriptors()).max(CLAIM);
    let asked = asked.map(|asked| asked.div_ceil(servers));
    (free, connections(asked, free / CLAIM, limit))
}

/// So many connections as were asked for, of those that there are descriptors for.
pub(super) fn connections(
    asked: Option<usize>,
    possible: usize,
    descriptors: usize,
) -> Connections {
    Connections {
        most: asked.map_or(possible, |asked| asked.min(possible)),
        as_asked: asked.is_some_and(|asked| asked <= possible),
        descriptors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_given_as_far_as_there_are_descriptors() {
        let (free, by_default) = share(None, 1);
        assert!(
            !by_default.as_asked
                && by_default.most == free / CLAIM
                && free < by_default.descriptors
        );
        assert_eq!(
            share(Some(1), 1).1,
            Connections {
                most: 1,
                as_asked: true,
                ..by_default
            }
        );
        let (_, too_many) = share(Some(usize::MAX), 1);
        assert!(!too_many.as_asked && too_many.most < by_default.descriptors);
    }
}
