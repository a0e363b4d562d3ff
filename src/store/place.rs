//! Giving a file a name that must be free.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

/// Moves a file from one name to another that must be free: (folder, name) each.
pub(super) fn move_to_free_name(
    from: (impl AsFd, &str),
    to: (impl AsFd, &str),
) -> Result<(), Errno> {
    let ((from, old), (to, new)) = (from, to);
    match rustix::fs::renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE) {
        // File systems that can't do it so have links.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(&from, old, &to, new, AtFlags::empty())?;
            // The file has its name, and must not be refused any more. Its other one is nobody's,
            // and goes with the next sweep.
            let _ = rustix::fs::unlinkat(&from, old, AtFlags::empty());
            Ok(())
        }
        moved => moved,
    }
}
