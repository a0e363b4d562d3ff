//! What a PUT says of a file besides its bytes: who may do what with it, and when it last changed.

use std::fmt;

use super::fields::{FieldFault, Fields};

/// The bits of a mode that are ever kept. Those that lend their owner's rights (setuid, setgid) and
/// the sticky bit are a peer's to name, and nobody's to give.
const PERMISSIONS: u16 = 0o777;

/// What is known of a file besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its permissions, as Unix writes them: at most `0o777`.
    pub mode: Option<u16>,
    /// When it last changed, in seconds since the epoch; before it, they are negative.
    pub mtime: Option<i64>,
}

impl Metadata {
    /// Of a file with this mode, of which only the permissions count, and this time.
    pub fn of(mode: u32, mtime: i64) -> Metadata {
        let permissions = mode & u32::from(PERMISSIONS);
        Metadata {
            mode: u16::try_from(permissions).ok(),
            mtime: Some(mtime),
        }
    }

    /// Reads the fields `mode` and `mtime`.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Metadata, FieldFault> {
        Ok(Metadata {
            mode: fields.get_as("mode", "one to four octal digits", mode)?,
            mtime: fields.get_as("mtime", "a whole number of seconds since the epoch", time)?,
        })
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mode) = self.mode {
            writeln!(f, "mode={mode:o}")?;
        }
        if let Some(mtime) = self.mtime {
            writeln!(f, "mtime={mtime}")?;
        }
        Ok(())
    }
}

fn mode(value: &str) -> Option<u16> {
    let is_octal =
        (1..=4).contains(&value.len()) && value.bytes().all(|c| matches!(c, b'0'..=b'7'));
    let mode = is_octal.then(|| u16::from_str_radix(value, 8).ok());
    mode.flatten().map(|mode| mode & PERMISSIONS)
}

fn time(value: &str) -> Option<i64> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| value.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Metadata, FieldFault> {
        Metadata::read(&Fields::parse(text)?)
    }

    #[test]
    fn only_permissions_are_taken_from_a_mode() {
        for (text, mode) in [
            ("mode=644", 0o644),
            ("mode=0", 0),
            ("mode=0600", 0o600),
            ("mode=7777", 0o777),
            ("mode=4755", 0o755),
            ("mode=1000", 0),
        ] {
            let of = Metadata {
                mode: Some(mode),
                mtime: None,
            };
            assert_eq!(read(text), Ok(of), "{text}");
        }
        assert_eq!(Metadata::of(0o104_755, 5).mode, Some(0o755));
        assert_eq!(read("mtime=-1").expect("good").mtime, Some(-1));
        assert_eq!(read(""), Ok(Metadata::default()));
    }

    #[test]
    fn what_is_no_mode_or_time_is_refused() {
        for text in [
            "mode=",
            "mode=888",
            "mode=00644",
            "mode=-1",
            "mode=+1",
            "mode=0o7",
            "mode=rw",
            "mode= 7",
            "mtime=",
            "mtime=-",
            "mtime=+5",
            "mtime=1.5",
            "mtime= 5",
            "mtime=--5",
            "mtime=9223372036854775808",
            "mtime=now",
            "mtime=٣",
        ] {
            assert!(
                matches!(read(text), Err(FieldFault::BadValue { .. })),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn metadata_reads_back_as_it_was_written(
            mode in proptest::option::of(0u16..=0o777),
            mtime: Option<i64>,
        ) {
            let metadata = Metadata { mode, mtime };
            prop_assert_eq!(read(&metadata.to_string()), Ok(metadata));
        }

        #[test]
        fn any_text_is_read_or_refused_and_no_other_bit_is_ever_set(
            mode in "[-+0-9a-z ]{0,6}", mtime in "[-+0-9. ]{0,22}",
        ) {
            if let Ok(read) = read(&format!("mode={mode}\nmtime={mtime}")) {
                prop_assert!(read.mode.is_some_and(|mode| mode <= 0o777));
                prop_assert!(read.mtime.is_some());
            }
        }
    }
}
