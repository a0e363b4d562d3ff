//! Each wall by itself, on a thread that is given up for it. All of them together need a process
//! without other threads, which a test has not: that is tests/walls.rs.

use std::fs;
use std::io;
use std::thread;

use super::{Access, Place, Wall};

/// Runs a test on a thread that nobody needs afterwards.
fn on_a_thread(test: impl FnOnce() + Send + 'static) {
    thread::spawn(test).join().expect("it goes well");
}

#[test]
fn who_has_threads_already_is_not_let_in() {
    on_a_thread(|| {
        let report = super::enter(&[]);
        assert!(matches!(&report.files, Wall::Missing(why) if why.contains("threads run")));
        assert_eq!(report.files, report.calls);
        fs::read("/proc/self/status").expect("nothing was given up");
    });
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn every_call_on_the_list_is_refused_and_what_nobody_knows_is_not_there() {
    use super::refused::{ALWAYS, CLONE3, NEWEST};

    // Called without anything that it could work on, so that nothing happens where it isn't refused.
    #[expect(
        unsafe_code,
        reason = "only by number can a call be made that has no wrapper"
    )]
    fn call_with(number: libc::c_long, second: libc::c_long) -> Option<i32> {
        // SAFETY: the calls tried here are refused, or fail for arguments that mean nothing: all but
        // the second are a negative number, which is no descriptor, no address, no process and no
        // size.
        let result = unsafe { libc::syscall(number, -1, second, -1, -1, -1, -1) };
        (result == -1)
            .then(|| io::Error::last_os_error().raw_os_error())
            .flatten()
    }
    let call = |number| call_with(number, -1);

    on_a_thread(move || {
        assert_eq!(super::calls::restrict(), Wall::Whole);
        for number in ALWAYS.iter().copied().flatten() {
            assert_eq!(call(*number), Some(libc::EPERM), "{number}");
        }
        for number in [CLONE3, NEWEST + 1, NEWEST + 1000, 0x4000_0000] {
            assert_eq!(call(number), Some(libc::ENOSYS), "{number}");
        }
        // Other signals than to this process, by the way of those that a thread may send itself.
        assert_eq!(call(libc::SYS_tgkill), Some(libc::EPERM));
        // Those by what comes at a descriptor, and programs that run as whoever owns them.
        for (number, second) in [
            (libc::SYS_fcntl, libc::F_SETOWN.into()),
            (libc::SYS_fcntl, 15),
            (libc::SYS_ioctl, 0x8901),
            (libc::SYS_ioctl, 0x8902),
            (libc::SYS_fchmod, 0o4755),
            (libc::SYS_fchmod, 0o2755),
            (libc::SYS_fchmod, 0o6000),
        ] {
            let result = call_with(number, second);
            assert_eq!(result, Some(libc::EPERM), "{number}, {second:#o}");
        }
        // Else they are there, and find no descriptor of that number.
        for (number, second) in [
            (libc::SYS_fcntl, libc::F_GETFL.into()),
            (libc::SYS_fchmod, 0o1777),
        ] {
            assert_eq!(call_with(number, second), Some(libc::EBADF), "{number}");
        }
        // Its threads are bound as well, and there can be some, whatever clone3 says.
        on_a_thread(move || assert_eq!(call(libc::SYS_execve), Some(libc::EPERM)));
    });
}

#[test]
fn files_elsewhere_are_out_of_reach_also_by_links_and_moves() {
    let home = tempfile::tempdir().expect("a folder");
    let (within, outside) = (home.path().join("within"), home.path().join("outside"));
    for folder in [&within, &outside] {
        fs::create_dir(folder).expect("it is new");
        fs::write(folder.join("file"), "bytes").expect("a file");
    }
    std::os::unix::fs::symlink(outside.join("file"), within.join("link")).expect("a link");
    let place = Place {
        path: within.clone(),
        access: Access::Store,
    };
    on_a_thread(move || {
        match super::files::restrict(&[place]) {
            Wall::Whole => {}
            Wall::Part(why) | Wall::Missing(why) => return skipped(&why),
        }
        let tries = || {
            [
                fs::read(outside.join("file")).map(drop),
                fs::read(within.join("link")).map(drop),
                fs::read(within.join("../outside/file")).map(drop),
                fs::write(outside.join("file"), "other"),
                fs::write(outside.join("new"), "other"),
                fs::remove_file(outside.join("file")),
                fs::create_dir(outside.join("folder")),
                fs::read_dir(&outside).map(drop),
                fs::rename(within.join("file"), outside.join("moved")),
                fs::hard_link(outside.join("file"), within.join("other")),
                std::os::unix::fs::symlink("/etc/passwd", within.join("passwd")),
            ]
        };
        let refused = |tries: [io::Result<()>; 11]| {
            for (number, result) in tries.into_iter().enumerate() {
                let error = result.expect_err(&number.to_string());
                let errno = error.raw_os_error();
                let refused = [Some(libc::EACCES), Some(libc::EXDEV)].contains(&errno);
                assert!(refused, "{number}: {error}");
            }
        };
        refused(tries());
        thread::scope(|scope| {
            scope.spawn(|| refused(tries()));
        });
        // And what a store does goes on.
        fs::create_dir(within.join("folder")).expect("within");
        fs::write(within.join("folder/new"), "bytes").expect("within");
        fs::rename(within.join("folder/new"), within.join("new")).expect("within");
        fs::remove_dir(within.join("folder")).expect("within");
    });
}

#[test]
fn a_place_that_cannot_be_opened_takes_nothing_away_where_it_may_be_missing() {
    let place = |path: &str, access| Place {
        path: path.into(),
        access,
    };
    on_a_thread(move || {
        let missing = "/no/such/place";
        let may_be_missing = [place(missing, Access::Read), place(missing, Access::Remove)];
        // Beside one that may not be: what it says is fit for a terminal.
        let hostile = place("/no/such\u{1b}[2J", Access::Append);
        let Wall::Missing(why) = super::files::restrict(&[hostile]) else {
            panic!("it is not there");
        };
        assert!(why.contains("/no/such\\u{1b}"), "{why}");
        match super::files::restrict(&may_be_missing) {
            Wall::Missing(why) if why.contains(missing) => panic!("{why}"),
            Wall::Missing(why) => skipped(&why),
            Wall::Whole | Wall::Part(_) => {}
        }
    });
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
