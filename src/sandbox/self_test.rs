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
        if report.calls == Wall::Whole {
            report.calls = verdict(
                &[Errno::PERM],
                &[
                    ("running a program", run()),
                    ("connecting", self.connect()),
                    (
                        "a new socket",
                        Socket::new(Domain::IPV4, Type::STREAM, None).map(drop),
                    ),
                ],
            );
        }
        if report.files == Wall::Whole {
            report.files = verdict(
                &[Errno::ACCESS, Errno::NOENT],
                &[
                    ("reading outside", File::open("/").map(drop)),
                    (
                        "writing outside",
                        OpenOptions::new().write(true).open("/dev/null").map(drop),
                    ),
                ],
            );
        }
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

/// Whether each was refused, and in the way of the wall that is to refuse it.
fn verdict(refusals: &[Errno], tries: &[(&str, io::Result<()>)]) -> Wall {
    let was_refused = |result: &io::Result<()>| {
        let errno = result.as_ref().err().and_then(Errno::from_io_error);
        errno.is_some_and(|errno| refusals.contains(&errno))
    };
    let gaps = tries.iter().filter(|(_, result)| !was_refused(result));
    let gaps: Vec<_> = gaps.map(|(what, _)| *what).collect();
    match gaps[..] {
        [] => Wall::Whole,
        _ => Wall::Part(format!("tried and not refused: {}", gaps.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_refused_or_refused_for_another_reason_is_a_gap() {
        let refused = |errno: Errno| Err(io::Error::from(errno));
        let of = |result| verdict(&[Errno::PERM], &[("running a program", result)]);
        assert_eq!(of(refused(Errno::PERM)), Wall::Whole);
        let gap = Wall::Part("tried and not refused: running a program".into());
        assert_eq!(of(Ok(())), gap);
        // A folder is no program, whoever says so.
        assert_eq!(of(run()), gap);
        let self_test = SelfTest::prepare();
        assert_eq!(of(self_test.connect()), gap);
    }
}
