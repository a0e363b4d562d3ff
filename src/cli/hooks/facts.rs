//! What a hook is told of a file.

use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use piecemeal::net::Address;
use piecemeal::proto::Receipt;
use piecemeal::proto::text::escaped;
use piecemeal::store::journal::entry::timestamp_of;
use serde::Serialize;

/// A stored file, as the loop's thread puts it down: what it is made into takes longer, and is
/// others' work.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    receipt: Receipt,
    peer: Address,
    time: SystemTime,
}

/// The same as a hook reads it. The keys are those of the journal, and `path`.
#[derive(Debug, Serialize)]
struct Told<'a> {
    time: String,
    name: &'a str,
    path: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    durable: bool,
    peer: String,
}

impl Facts {
    pub(super) fn of(receipt: &Receipt, peer: &Address) -> Facts {
        Facts {
            receipt: receipt.clone(),
            peer: peer.clone(),
            time: SystemTime::now(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.receipt.name
    }

    pub(super) fn shown_name(&self) -> String {
        escaped(self.name()).to_string()
    }

    fn digest(&self) -> Option<String> {
        self.receipt.digest.map(|digest| digest.to_string())
    }

    /// The facts as variables. They have a prefix of their own, since a flag's variable would be
    /// taken for the flag where a hook calls this very program.
    pub(super) fn variables(&self, path: &Path) -> Vec<(&'static str, OsString)> {
        let durable = if self.receipt.durable { "yes" } else { "no" };
        let mut variables = vec![
            ("PIECEMEAL_STORED_TIME", timestamp_of(self.time).into()),
            ("PIECEMEAL_STORED_NAME", self.receipt.name.clone().into()),
            ("PIECEMEAL_STORED_PATH", path.into()),
            (
                "PIECEMEAL_STORED_SIZE",
                self.receipt.size.to_string().into(),
            ),
            ("PIECEMEAL_STORED_DURABLE", durable.into()),
            ("PIECEMEAL_STORED_PEER", self.peer.to_string().into()),
        ];
        if let Some(digest) = self.digest() {
            variables.push(("PIECEMEAL_STORED_BLAKE3", digest.into()));
        }
        variables
    }

    /// The same as one JSON object in one line.
    pub(super) fn json(&self, path: &Path) -> String {
        let told = Told {
            time: timestamp_of(self.time),
            name: self.name(),
            path: path.to_string_lossy().into_owned(),
            size: self.receipt.size,
            blake3: self.digest(),
            durable: self.receipt.durable,
            peer: self.peer.to_string(),
        };
        serde_json::to_string(&told).expect("text and numbers are always JSON") + "\n"
    }
}
