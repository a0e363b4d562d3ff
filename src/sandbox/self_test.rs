//! Tries what is to be refused. A wall that was built and doesn't stand is told like one that was
//! not built.
//!
//! Nothing here does any harm where it isn't refused: the program to be run is a folder, which is
//! no program; a datagram socket that is connected sends nothing; `/` is looked at and `/dev/null`
//! opened, which anybody may.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::{Report, Wall};

/// What has to be there before it is refused.
pub(super) struct SelfTest {
    socket: Option<Socket>,
}

impl SelfTest {
    pub(super) fn prepare() -> SelfTest {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None);
        SelfTest {
            socket: socket.ok(),
        }
    }

    /// What of a report holds.
    pub(super) fn check(self, mut report: Report) -> Report {
        report.calls = tried(report.calls, || {
            gaps(
                &[Errno::PERM],
                &[
                    ("running a program", run()),
                    ("connecting", self.connect()),
                    (
                        "a new socket",
                        Socket::new(Domain::IPV4, Type::STREAM, None).map(drop),
                    ),
                ],
            )
        });
        report.files = tried(report.files, || {
            gaps(
                &[Errno::ACCESS, Errno::NOENT],
                &[
                    ("reading outside", File::open("/").map(drop)),
                    (
                        "writing outside",
                        OpenOptions::new().write(true).open("/dev/null").map(drop),
                    ),
                ],
            )
        });
        report
    }

    fn connect(&self) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            // There is none to be had, so none can be connected.
            return Err(Errno::PERM.into());
        };
        let discard = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        socket.connect(&discard.into())
    }
}

fn run() -> io::Result<()> {
    let Err(error) = nix::unistd::execv(c"/", &[c"/"]);
    Err(error.into())
}

/// A wall with what was found out by trying. Part of one has to refuse all that is tried, too: older
/// kernels lack other things.
fn tried(wall: Wall, gaps: impl FnOnce() -> Option<String>) -> Wall {
    match wall {
        Wall::Whole => gaps().map_or(Wall::Whole, Wall::Part),
        Wall::Part(why) => match gaps() {
            None => Wall::Part(why),
            Some(gaps) => Wall::Part(format!("{why}; {gaps}")),
        },
        missing @ Wall::Missing(_) => missing,
    }
}

/// What was not refused, or not in the way of the wall that is to refuse it.
fn gaps(refusals: &[Errno], tries: &[(&str, io::Result<()>)]) -> Option<String> {
    let was_refused = |result: &io::Result<()>| {
        let errno = result.as_ref().err().and_then(Errno::from_io_error);
        errno.is_some_and(|errno| refusals.contains(&errno))
    };
    let gaps = tries.iter().filter(|(_, result)| !was_refused(result));
    let gaps: Vec<_> = gaps.map(|(what, _)| *what).collect();
    (!gaps.is_empty()).then(|| format!("tried and not refused: {}", gaps.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_refused_or_refused_for_another_reason_is_a_gap() {
        let refused = |errno: Errno| Err(io::Error::from(errno));
        let of = |result| gaps(&[Errno::PERM], &[("running a program", result)]);
        assert_eq!(of(refused(Errno::PERM)), None);
        let gap = Some("tried and not refused: running a program".to_owned());
        assert_eq!(of(Ok(())), gap);
        // A folder is no program, whoever says so.
        assert_eq!(of(run()), gap);
        let self_test = SelfTest::prepare();
        assert_eq!(of(self_test.connect()), gap);
    }

    #[test]
    fn part_of_a_wall_is_tried_like_all_of_it() {
        let gap = || Some("a gap".to_owned());
        let part = |why: &str| Wall::Part(why.to_owned());
        assert_eq!(tried(Wall::Whole, || None), Wall::Whole);
        assert_eq!(tried(Wall::Whole, gap), part("a gap"));
        assert_eq!(tried(part("old"), || None), part("old"));
        assert_eq!(tried(part("old"), gap), part("old; a gap"));
        let missing = Wall::Missing("none".to_owned());
        assert_eq!(
            tried(missing.clone(), || unreachable!("nothing stands")),
            missing
        );
    }
}
