//! Root becomes somebody else.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, Uid};
use rustix::fs::{AtFlags, Mode, OFlags};

use super::Made;
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
        let unknown = |what: &str| io::Error::other(format!("--user {shown}: {what}"));
        let failed = |error: Errno| unknown(&format!("can't be looked up: {}", error.desc()));
        let (user, group) = match name.split_once(':') {
            None => (name, None),
            Some((user, group)) => (user, Some(group)),
        };
        let entry = match (user.parse(), group) {
            // It is as good as its name, and needs no list of users: an image may have none.
            (Ok(_), Some(_)) => None,
            (Ok(uid), None) => found(unistd::User::from_uid(Uid::from_raw(uid))).map_err(failed)?,
            (Err(_), _) => found(unistd::User::from_name(user)).map_err(failed)?,
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
                    let group = found(Group::from_name(group)).map_err(failed)?;
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
    pub fn give(&self, made: Made<'_>) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(made.path(), flags, Mode::empty())?);
        let facts = file.metadata()?;
        // Whoever may write into its folder may have put something else of root's there: another
        // link to a file, where the system lets them make it.
        let is_it = match made {
            Made::Folder(_) => facts.is_dir(),
            Made::Socket(_, inode) => facts.file_type().is_socket() && facts.ino() == inode,
        };
        if !is_it || facts.uid() != Uid::effective().as_raw() {
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
        super::check_alone()
            .map_err(|error| io::Error::new(error.kind(), format!("--user: {error}")))?;
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

/// What was looked up. A system without a list has nobody on it.
fn found<T>(looked_up: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match looked_up {
        Err(Errno::ENOENT) => Ok(None),
        looked_up => looked_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::{fs, path::Path};

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

    #[test]
    fn only_what_was_made_is_given_away() {
        let home = tempfile::tempdir().expect("a folder");
        let path = |name: &str| home.path().join(name);
        let (file, link, folder) = (path("file"), path("link"), path("folder"));
        let (socket, other) = (path("socket"), path("other"));
        fs::write(&file, "bytes").expect("a file");
        fs::hard_link(&file, &link).expect("a link");
        fs::create_dir(&folder).expect("a folder");
        let _listening = [&socket, &other].map(|path| UnixListener::bind(path).expect("a socket"));
        let inode = |path: &Path| fs::symlink_metadata(path).expect("it is there").ino();
        let uid = |path: &Path| fs::symlink_metadata(path).expect("it is there").uid();
        // Whoever runs this; another user is given it where that is root.
        let own = Uid::effective().as_raw();
        let nobody = if own == 0 { 65534 } else { own };
        let user = User::find(&format!("{nobody}:{}", Gid::effective())).expect("numbers");
        for (made, is_given) in [
            (Made::Folder(&link), false),
            (Made::Socket(&link, inode(&link)), false),
            (Made::Folder(&other), false),
            (Made::Socket(&other, inode(&socket)), false),
            (Made::Socket(&folder, inode(&folder)), false),
            (Made::Socket(&socket, inode(&socket)), true),
            (Made::Folder(&folder), true),
        ] {
            user.give(made).expect("root may");
            let given = if is_given { nobody } else { own };
            assert_eq!(uid(made.path()), given, "{made:?}");
        }
    }
}
