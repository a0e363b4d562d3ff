//! Root becomes somebody else.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{self, Gid, Group, Uid};
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::proto::text::escaped;

/// Somebody to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As it was asked for.
    name: String,
    uid: Uid,
    gid: Gid,
}

impl User {
    /// Looks up `NAME` or `UID`, and behind a colon a group; without one it is the user's own.
    ///
    /// # Errors
    /// A line for a person.
    pub fn find(name: &str) -> io::Result<User> {
        let shown = escaped(name.as_bytes());
        let unknown = |what| io::Error::other(format!("--user {shown}: {what}"));
        let (user, group) = match name.split_once(':') {
            None => (name, None),
            Some((user, group)) => (user, Some(group)),
        };
        let entry = match user.parse() {
            Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid))?,
            Err(_) => unistd::User::from_name(user)?,
        };
        let uid = match (&entry, user.parse()) {
            (Some(entry), _) => entry.uid,
            (None, Ok(uid)) => Uid::from_raw(uid),
            (None, Err(_)) => return Err(unknown("there is no such user")),
        };
        let gid = match (group, entry) {
            (None, Some(entry)) => entry.gid,
            (None, None) => {
                return Err(unknown(
                    "no user has this number, so give a group too, as in 1000:1000",
                ));
            }
            (Some(group), _) => match group.parse() {
                Ok(gid) => Gid::from_raw(gid),
                Err(_) => {
                    let group = Group::from_name(group)?;
                    group.ok_or_else(|| unknown("there is no such group"))?.gid
                }
            },
        };
        Ok(User {
            name: name.to_owned(),
            uid,
            gid,
        })
    }

    /// As it was asked for, for a person.
    pub fn name(&self) -> String {
        escaped(self.name.as_bytes()).to_string()
    }

    /// Gives what root has just made to the user: a folder, or a socket's file. What is somebody
    /// else's, or no longer what was made, is left alone.
    ///
    /// # Errors
    /// Where it can't be given.
    pub fn give(&self, made: &Path) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(made, flags, Mode::empty())?);
        if file.metadata()?.uid() != Uid::effective().as_raw() {
            return Ok(());
        }
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(self.uid.as_raw()),
            rustix::fs::Gid::from_raw(self.gid.as_raw()),
        );
        rustix::fs::chownat(&file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        Ok(())
    }

    /// Whether the process is this user's already.
    pub fn is_current(&self) -> bool {
        let uids = [Uid::current(), Uid::effective()];
        let gids = [Gid::current(), Gid::effective()];
        uids == [self.uid; 2] && gids == [self.gid; 2]
    }

    /// Whether the process can become this user, or is it already.
    ///
    /// # Errors
    /// Where it can't, since it isn't root's.
    pub fn check(&self) -> io::Result<()> {
        if self.is_current() || Uid::effective().is_root() {
            return Ok(());
        }
        let (name, own) = (self.name(), Uid::effective());
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("--user {name}: only root can become another user, and this is user {own}"),
        ))
    }

    /// Becomes this user, for good: without root's groups, and without its rights. Does nothing
    /// where the process is this user's already.
    ///
    /// # Errors
    /// Those of [`User::check`]; where there are other threads; and where the system refuses.
    /// The process is to end then, since it may have become the user in part.
    pub fn drop_privileges(&self) -> io::Result<()> {
        self.check()?;
        if self.is_current() {
            return Ok(());
        }
        // The C library's calls change all threads, where the system's own change the one that
        // calls. There is to be one all the same: what others do meanwhile they would do as root.
        if !super::is_alone() {
            return Err(io::Error::other("--user: threads run already"));
        }
        unistd::setgroups(&[])?;
        unistd::setgid(self.gid)?;
        unistd::setuid(self.uid)?;
        let can_return = !self.uid.is_root() && unistd::setuid(Uid::from_raw(0)).is_ok();
        if !self.is_current() || can_return {
            return Err(io::Error::other(
                "--user: the rights of root are still there",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let root = User::find("root").expect("every system has one");
        assert_eq!((root.uid.as_raw(), root.gid.as_raw()), (0, 0));
        let same = User::find("0").expect("it is root");
        assert_eq!((same.uid, same.gid), (root.uid, root.gid));
        let both = User::find("12345678:4321").expect("they need no entries");
        assert_eq!((both.uid.as_raw(), both.gid.as_raw()), (12_345_678, 4321));
        let named = User::find("12345678:root").expect("a group's name");
        assert_eq!(named.gid.as_raw(), 0);
    }

    #[test]
    fn who_is_not_there_is_said() {
        for (name, says) in [
            ("no-such-user", "no such user"),
            ("", "no such user"),
            ("root:no-such-group", "no such group"),
            ("12345678", "12345678: no user has this number"),
        ] {
            let error = User::find(name).expect_err(name).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
