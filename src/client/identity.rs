//! What an upload is called so that a later try, also that of a later run, can go on with it.
//!
//! The name is made of what the file is: its name there, its size, and when it was last written
//! to. So nothing has to be kept here between two runs, and a file that was changed is another
//! upload, of which the server has nothing.

use super::source::Facts;
use crate::proto::UploadId;

/// Keeps these digests apart from any others. Another rule gets another text.
const CONTEXT: &str = "piecemeal 2026 upload id: name, size, mtime";
/// Characters of an id.
const LENGTH: usize = 32;

/// The id of the upload of a file under this name.
pub(super) fn upload_id(name: &str, facts: &Facts) -> UploadId {
    let (seconds, nanoseconds) = facts.modified;
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&facts.size.to_le_bytes());
    hasher.update(&seconds.to_le_bytes());
    hasher.update(&nanoseconds.to_le_bytes());
    // Last, since it alone has no fixed length.
    hasher.update(name.as_bytes());
    let hex = hasher.finalize().to_hex();
    UploadId::parse(&hex[..LENGTH]).expect("hexadecimal digits make an id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(file: (u64, u64), size: u64, modified: (i64, i64)) -> Facts {
        Facts {
            file,
            size,
            modified,
        }
    }

    #[test]
    fn an_id_stays_what_it_is_from_version_to_version() {
        let id = upload_id("backup.tar", &facts((1, 2), 1 << 30, (1_700_000_000, 123)));
        assert_eq!(id.as_str(), "3b1760db806e422d659eb1a1dcc6a991");
    }

    proptest! {
        /// The same file has the same id wherever it lies; another name, size or time has another.
        #[test]
        fn an_id_tells_files_apart(
            name in "[a-z/.]{1,40}",
            size in any::<u64>(),
            modified in any::<(i64, i64)>(),
            file in any::<(u64, u64)>(),
            other_name in "[a-z/.]{1,40}",
            other in any::<(u64, (i64, i64))>(),
        ) {
            let id = upload_id(&name, &facts(file, size, modified));
            prop_assert_eq!(&id, &upload_id(&name, &facts((0, 0), size, modified)));
            let others = facts(file, other.0, other.1);
            let same = (size, modified) == other;
            prop_assert_eq!(id == upload_id(&name, &others), same);
            prop_assert_eq!(id == upload_id(&other_name, &facts(file, size, modified)), name == other_name);
        }
    }
}
