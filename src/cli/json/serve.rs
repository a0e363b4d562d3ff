//! What happens at a server, as JSON.

use piecemeal::net::Address;
use piecemeal::observe::LineSender;
use piecemeal::server::{Ended, Summary};
use serde::Serialize;

use super::line;
use crate::cli::teller::Teller;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Listening {
        address: String,
    },
    Stored {
        name: &'a str,
        size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        blake3: Option<String>,
        durable: bool,
        peer: String,
    },
    Failed {
        code: &'static str,
        text: &'a str,
        peer: String,
    },
    Refused {
        code: &'static str,
        text: String,
        peer: String,
    },
    Message {
        text: &'a str,
        peer: String,
    },
    Remark {
        text: &'a str,
        peer: String,
    },
    Stopping {
        under_way: usize,
    },
    Stopped {
        stored: u64,
        bytes: u64,
        failed: u64,
        cut_off: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
}

/// Tells programs what happens.
#[derive(Clone, Debug)]
pub(in crate::cli) struct JsonTeller(pub(in crate::cli) LineSender);

impl JsonTeller {
    pub(in crate::cli) fn listening(&self, address: &Address) {
        let address = address.to_string();
        self.0.line(line(Event::Listening { address }));
    }

    /// Tells programs, and people what they get on standard error.
    pub(in crate::cli) fn tell(&self, event: &piecemeal::server::Event<'_>, people: &Teller) {
        use piecemeal::server::Event as Happened;
        if matches!(event, Happened::Failed { .. } | Happened::Stopping { .. }) {
            people.tell(event);
        }
        let event = match event {
            Happened::Stored { peer, receipt, .. } => Event::Stored {
                name: &receipt.name,
                size: receipt.size,
                blake3: receipt.digest.map(|digest| digest.to_string()),
                durable: receipt.durable,
                peer: peer.to_string(),
            },
            Happened::Failed { peer, code, why } => Event::Failed {
                code: code.as_str(),
                text: why,
                peer: peer.to_string(),
            },
            Happened::Refused { peer, fault } => Event::Refused {
                code: fault.code().as_str(),
                text: fault.to_string(),
                peer: peer.to_string(),
            },
            Happened::Message { peer, text } => Event::Message {
                text,
                peer: peer.to_string(),
            },
            Happened::Remark { peer, text } => Event::Remark {
                text,
                peer: peer.to_string(),
            },
            Happened::Stopping { under_way } => Event::Stopping {
                under_way: *under_way,
            },
        };
        self.0.line(line(event));
    }

    pub(in crate::cli) fn stopped(&self, summary: &Summary) {
        let counts = &summary.counts;
        self.0.line(line(Event::Stopped {
            stored: counts.stored,
            bytes: counts.stored_bytes,
            failed: counts.failed,
            cut_off: summary.cut_off,
            signal: match summary.ended {
                Ended::Stopped => None,
                Ended::Forced(signal) => Some(signal),
            },
        }));
    }
}
