//! What a hook is told of a file.

use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use piecemeal::net::Address;
use piecemeal::proto::Receipt;
use piecemeal::proto::text::escaped;
use piecemeal::store::journal::entry::timestamp_of;
use serde::{Deserialize, Serialize};

/// A stored file, as the loop's thread puts it down: what it is made into takes longer, and is
/// others' work.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    receipt: Receipt,
    peer: Address,
    time: SystemTime,
}

/// The same as words, as they go to the process that runs hooks. The keys are those of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    time: String,
    pub(super) name: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    durable: bool,
    peer: String,
}

/// And as a hook reads them.
#[derive(Serialize)]
struct WithPath<'a> {
    #[serde(flatten)]
    told: &'a Told,
    path: String,
}

impl Facts {
    pub(super) fn of(receipt: &Receipt, peer: &Address) -> Facts {
        Facts {
            receipt: receipt.clone(),
            peer: peer.clone(),
            time: SystemTime::now(),
        }
    }

    pub(super) fn shown_name(&self) -> String {
        escaped(&self.receipt.name).to_string()
    }

    pub(super) fn told(&self) -> Told {
        Told {
            time: timestamp_of(self.time),
            name: self.receipt.name.clone(),
            size: self.receipt.size,
            blake3: self.receipt.digest.map(|digest| digest.to_string()),
            durable: self.receipt.durable,
            peer: self.peer.to_string(),
        }
    }
}

impl Told {
    /// The facts as variables. They have a prefix of their own, since a flag's variable would be
    /// taken for the flag where a hook calls this very program.
    pub(super) fn variables(&self, path: &Path) -> Vec<(&'static str, OsString)> {
        let durable = if self.durable { "yes" } else { "no" };
        let mut variables = vec![
            ("PIECEMEAL_STORED_TIME", self.time.clone().into()),
            ("PIECEMEAL_STORED_NAME", self.name.clone().into()),
            ("PIECEMEAL_STORED_PATH", path.into()),
            ("PIECEMEAL_STORED_SIZE", self.size.to_string().into()),
            ("PIECEMEAL_STORED_DURABLE", durable.into()),
            ("PIECEMEAL_STORED_PEER", self.peer.clone().into()),
        ];
        if let Some(digest) = &self.blake3 {
            variables.push(("PIECEMEAL_STORED_BLAKE3", digest.into()));
        }
        variables
    }

    /// The same as one JSON object in one line.
    pub(super) fn json(&self, path: &Path) -> String {
        let whole = WithPath {
            told: self,
            path: path.to_string_lossy().into_owned(),
        };
        serde_json::to_string(&whole).expect("text and numbers are always JSON") + "\n"
    }
}
