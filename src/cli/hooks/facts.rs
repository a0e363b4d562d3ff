//! What a hook is told of a file.

use std::ffi::OsString;
use std::path::Path;

use piecemeal::net::Address;
use piecemeal::proto::Receipt;
use piecemeal::proto::text::escaped;
use piecemeal::store::journal::entry::timestamp;
use serde::Serialize;

/// A stored file.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    size: u64,
    digest: Option<String>,
    durable: bool,
    peer: Address,
    time: String,
}

/// The same as a hook reads it. The keys are those of the journal, and `path`.
#[derive(Debug, Serialize)]
struct Told<'a> {
    time: &'a str,
    name: &'a str,
    path: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<&'a str>,
    durable: bool,
    peer: String,
}

impl Facts {
    pub(super) fn of(receipt: &Receipt, peer: &Address) -> Facts {
        Facts {
            name: receipt.name.clone(),
            size: receipt.size,
            digest: receipt.digest.map(|digest| digest.to_string()),
            durable: receipt.durable,
            peer: peer.clone(),
            time: timestamp(),
        }
    }

    pub(super) fn shown_name(&self) -> String {
        escaped(&self.name).to_string()
    }

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
            ("PIECEMEAL_STORED_PEER", self.peer.to_string().into()),
        ];
        if let Some(digest) = &self.digest {
            variables.push(("PIECEMEAL_STORED_BLAKE3", digest.into()));
        }
        variables
    }

    /// The same as one JSON object in one line.
    pub(super) fn json(&self, path: &Path) -> String {
        let told = Told {
            time: &self.time,
            name: &self.name,
            path: path.to_string_lossy().into_owned(),
            size: self.size,
            blake3: self.digest.as_deref(),
            durable: self.durable,
            peer: self.peer.to_string(),
        };
        serde_json::to_string(&told).expect("text and numbers are always JSON") + "\n"
    }
}
