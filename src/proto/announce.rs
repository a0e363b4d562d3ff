//! PUT and END as values: what an upload says of itself before and after its bytes.
//!
//! Keys that this version doesn't know are ignored.

use std::fmt;

use super::digest::Digest;
use super::fields::{FieldFault, Fields, number};
use super::metadata::Metadata;
use super::upload_id::UploadId;

/// What happens when a file of the same name is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// The upload is refused.
    #[default]
    Error,
    /// The upload gets a number: `report (2).pdf`.
    Rename,
    /// The upload takes the other's place.
    Overwrite,
}

impl Conflict {
    /// The word that stands for it, as in `conflict=rename`.
    pub fn as_str(self) -> &'static str {
        match self {
            Conflict::Error => "error",
            Conflict::Rename => "rename",
            Conflict::Overwrite => "overwrite",
        }
    }

    /// The policy that a word stands for.
    pub fn from_word(word: &str) -> Option<Conflict> {
        [Conflict::Error, Conflict::Rename, Conflict::Overwrite]
            .into_iter()
            .find(|policy| policy.as_str() == word)
    }

    /// Whether a client may ask for `other` where this is the server's policy: it may not
    /// destroy more. Only overwriting destroys anything.
    pub fn allows(self, other: Conflict) -> bool {
        self == Conflict::Overwrite || other != Conflict::Overwrite
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a PUT message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The file's name, not yet checked.
    pub name: String,
    /// Bytes in the whole file.
    pub size: Option<u64>,
    /// Digest of the whole file.
    pub digest: Option<Digest>,
    /// Whether END completes the upload (`end=explicit`), and not the first DATA.
    pub explicit_end: bool,
    /// What to do when the name is taken, where the client has a wish.
    pub conflict: Option<Conflict>,
    /// What the upload is called by, so that a later PUT can go on with it.
    pub upload: Option<UploadId>,
    /// What is known of the file besides its bytes.
    pub metadata: Metadata,
}

impl Put {
    /// Reads the body of a PUT.
    pub fn parse(text: &str) -> Result<Put, FieldFault> {
        let fields = Fields::parse(text)?;
        let name = fields.get("name").ok_or(FieldFault::Missing("name"))?;
        let explicit = |word| (word == "explicit").then_some(true);
        Ok(Put {
            name: name.to_owned(),
            size: size_of(&fields)?,
            digest: digest_of(&fields)?,
            explicit_end: fields
                .get_as("end", "only end=explicit", explicit)?
                .unwrap_or(false),
            conflict: fields.get_as(
                "conflict",
                "error, rename or overwrite",
                Conflict::from_word,
            )?,
            upload: fields.get_as(
                "upload",
                "1 to 64 of A-Z, a-z, 0-9, _ and -",
                UploadId::parse,
            )?,
            metadata: Metadata::read(&fields)?,
        })
    }
}

impl fmt::Display for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name={}", self.name)?;
        if let Some(size) = self.size {
            writeln!(f, "size={size}")?;
        }
        if let Some(digest) = self.digest {
            writeln!(f, "blake3={digest}")?;
        }
        if self.explicit_end {
            writeln!(f, "end=explicit")?;
        }
        if let Some(conflict) = self.conflict {
            writeln!(f, "conflict={conflict}")?;
        }
        if let Some(upload) = &self.upload {
            writeln!(f, "upload={upload}")?;
        }
        write!(f, "{}", self.metadata)
    }
}

/// What an END message says: both are checked against what was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Bytes in the whole file.
    pub size: Option<u64>,
    /// Digest of the whole file.
    pub digest: Option<Digest>,
}

impl End {
    /// Reads the body of an END.
    pub fn parse(text: &str) -> Result<End, FieldFault> {
        let fields = Fields::parse(text)?;
        Ok(End {
            size: size_of(&fields)?,
            digest: digest_of(&fields)?,
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            writeln!(f, "size={size}")?;
        }
        if let Some(digest) = self.digest {
            writeln!(f, "blake3={digest}")?;
        }
        Ok(())
    }
}

fn size_of(fields: &Fields<'_>) -> Result<Option<u64>, FieldFault> {
    fields.get_as("size", "a whole number of bytes below 2^64", number)
}

fn digest_of(fields: &Fields<'_>) -> Result<Option<Digest>, FieldFault> {
    fields.get_as("blake3", "64 hexadecimal digits", Digest::from_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_reads_back_as_it_was_written() {
        let put = Put {
            name: "a=b.txt".into(),
            size: Some(5),
            digest: Some(Digest([7; 32])),
            explicit_end: true,
            conflict: Some(Conflict::Rename),
            upload: UploadId::parse("x_1-Z"),
            metadata: Metadata::of(0o640, -5),
        };
        assert_eq!(Put::parse(&put.to_string()), Ok(put));
        let end = End {
            size: Some(0),
            digest: None,
        };
        assert_eq!(End::parse(&end.to_string()), Ok(end));
        assert_eq!(End::parse(""), Ok(End::default()));
    }

    #[test]
    fn keys_of_later_versions_are_ignored() {
        let put = Put::parse("name=a\nnew-key=?").expect("good");
        assert_eq!(
            put,
            Put {
                name: "a".into(),
                ..Put::default()
            }
        );
    }

    #[test]
    fn a_known_key_with_a_bad_value_is_refused() {
        for text in [
            "size=1",
            "name=a\nsize=-1",
            "name=a\nblake3=12",
            "name=a\nend=eof",
            "name=a\nconflict=merge",
            "name=a\nupload=",
            "name=a\nupload=../x",
            "name=a\nmode=rw-r--r--",
            "name=a\nmtime=yesterday",
        ] {
            assert!(Put::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_may_not_destroy_more_than_the_server_would() {
        use Conflict::{Error, Overwrite, Rename};
        assert!(Error.allows(Rename) && Rename.allows(Error) && Overwrite.allows(Overwrite));
        assert!(!Error.allows(Overwrite) && !Rename.allows(Overwrite));
    }
}
