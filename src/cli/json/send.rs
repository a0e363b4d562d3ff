//! How a sending goes, as JSON.

use std::time::Duration;

use piecemeal::client::{Anew, Failure, Item, Progress, Report, Retry, Why};
use piecemeal::net::Address;
use piecemeal::proto::Receipt;
use serde::Serialize;

use super::{code_of, line};
use crate::cli::print;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Connected {
        to: String,
    },
    Begun {
        path: String,
        name: &'a str,
        /// A stream has none yet.
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// What a dry run would send.
    Listed {
        path: String,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// The server has the bytes before the offset from an earlier try.
    Resumed {
        path: String,
        name: &'a str,
        offset: u64,
    },
    /// What the server has of it is of no use.
    Anew {
        path: String,
        name: &'a str,
        text: String,
    },
    /// Another try will be made.
    Retrying {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        code: &'a str,
        text: String,
        wait_seconds: f64,
        number: u32,
        of: u32,
    },
    Stored {
        path: String,
        name: &'a str,
        size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        blake3: Option<String>,
        durable: bool,
    },
    Failed {
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        code: &'a str,
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<u64>,
    },
    Reply {
        text: &'a str,
        reply: &'a str,
    },
    Summary {
        stored: usize,
        bytes: u64,
        failed: usize,
        seconds: f64,
        exit: u8,
    },
}

/// Prints an object for each thing that happens.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct JsonProgress;

impl Progress for JsonProgress {
    fn connected(&mut self, to: &Address) {
        let to = to.to_string();
        print(line(Event::Connected { to }));
    }

    fn begun(&mut self, item: &Item, size: Option<u64>) {
        print(line(Event::Begun {
            path: path_of(item),
            name: &item.name,
            size,
        }));
    }

    fn resumed(&mut self, item: &Item, offset: u64) {
        print(line(Event::Resumed {
            path: path_of(item),
            name: &item.name,
            offset,
        }));
    }

    fn anew(&mut self, item: &Item, why: Anew) {
        print(line(Event::Anew {
            path: path_of(item),
            name: &item.name,
            text: why.to_string(),
        }));
    }

    fn retrying(&mut self, retry: &Retry<'_>) {
        print(line(Event::Retrying {
            name: retry.item.map(|item| &*item.name),
            code: code_of(retry.why),
            text: retry.why.to_string(),
            wait_seconds: retry.wait.as_secs_f64(),
            number: retry.number,
            of: retry.of,
        }));
    }

    fn stored(&mut self, item: &Item, receipt: &Receipt) {
        print(line(Event::Stored {
            path: path_of(item),
            name: &receipt.name,
            size: receipt.size,
            blake3: receipt.digest.map(|digest| digest.to_string()),
            durable: receipt.durable,
        }));
    }

    fn failed(&mut self, failure: &Failure) {
        print_failure(Some(&failure.item), &failure.why);
    }
}

/// Prints what failed before anything was sent.
pub(in crate::cli) fn failures(failures: &[Failure]) {
    for failure in failures {
        print_failure(Some(&failure.item), &failure.why);
    }
}

/// Prints what failed as a whole, before any file had its turn.
pub(in crate::cli) fn failed(why: &Why) {
    print_failure(None, why);
}

/// Prints what a dry run would send.
pub(in crate::cli) fn listed(item: &Item, size: Option<u64>) {
    print(line(Event::Listed {
        path: path_of(item),
        name: &item.name,
        size,
    }));
}

/// Prints the server's answer to a text.
pub(in crate::cli) fn replied(text: &str, reply: &str) {
    print(line(Event::Reply { text, reply }));
}

/// Prints how it all went.
pub(in crate::cli) fn summary(report: &Report, took: Duration, exit: u8) {
    print(line(Event::Summary {
        stored: report.stored,
        bytes: report.stored_bytes,
        failed: report.failures.len(),
        seconds: took.as_secs_f64(),
        exit,
    }));
}

fn print_failure(item: Option<&Item>, why: &Why) {
    let retry = match why {
        Why::Refused(refusal) => refusal.retry,
        _ => None,
    };
    print(line(Event::Failed {
        path: item.map(path_of),
        name: item.map(|item| &*item.name),
        code: code_of(why),
        text: why.to_string(),
        retry,
    }));
}

/// What is no Unicode in a path shows as such.
fn path_of(item: &Item) -> String {
    item.path.to_string_lossy().into_owned()
}
