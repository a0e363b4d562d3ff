//! What the server has to do while a call fails: some clients, each with its own kind of uploads,
//! and how each of these went. Nothing is expected here; `verdict.rs` judges.

use std::thread;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::talk::{Hung, Talk};
use crate::common::{Reply, data, data_header, digest, end, put, string};

/// Larger than what is committed among the small ones: a bulk worker syncs it.
const LARGE: usize = 9 << 20;
/// So much is reserved by a bulk worker, and not by the loop.
const HUGE: u64 = 80 << 20;

/// One upload, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    /// What it is to be called, where it has a name.
    pub(super) name: Option<String>,
    pub(super) policy: Policy,
    pub(super) content: Vec<u8>,
    /// What it can be resumed by.
    pub(super) id: Option<&'static str>,
    pub(super) outcome: Outcome,
    /// What its tries were refused with, and `lost` for lost connections.
    pub(super) codes: Vec<String>,
}

/// What is to happen where the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Refuse,
    Rename,
    Replace,
}

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Stored(Reply),
    Refused(String),
    /// The connection broke before it was answered.
    Lost,
    /// The connection was closed behind another's refusal.
    Cut,
    /// Its client never finished it.
    GivenUp,
}

/// Bytes that no other label has.
fn content(label: &str, size: usize) -> Vec<u8> {
    let seed = label.bytes().fold(11u64, |seed, byte| {
        seed.wrapping_mul(131).wrapping_add(u64::from(byte))
    });
    let mut bytes = vec![0; size];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

impl Upload {
    fn new(name: &str, size: usize) -> Upload {
        Upload {
            name: Some(name.to_owned()),
            policy: Policy::Refuse,
            content: content(name, size),
            id: None,
            outcome: Outcome::GivenUp,
            codes: Vec::new(),
        }
    }

    fn ends(&mut self, outcome: Outcome) {
        match &outcome {
            Outcome::Refused(code) => self.codes.push(code.clone()),
            Outcome::Lost => self.codes.push("lost".to_owned()),
            Outcome::Stored(_) | Outcome::Cut | Outcome::GivenUp => {}
        }
        self.outcome = outcome;
    }

    fn unnamed(label: &str, size: usize) -> Upload {
        Upload {
            name: None,
            ..Upload::new(label, size)
        }
    }

    fn with(self, policy: Policy, label: &str) -> Upload {
        Upload {
            policy,
            content: content(label, self.content.len()),
            ..self
        }
    }

    /// STRING and DATA, or DATA alone.
    fn message(&self) -> Vec<u8> {
        let name = self.name.as_ref().map(string).unwrap_or_default();
        [name, data(&self.content)].concat()
    }

    fn replies(&self) -> usize {
        1 + usize::from(self.name.is_some())
    }

    fn announcement(&self, more: &str) -> Vec<u8> {
        let name = self.name.as_deref().unwrap_or_default();
        let policy = match self.policy {
            Policy::Refuse => "error",
            Policy::Rename => "rename",
            Policy::Replace => "overwrite",
        };
        put(format!("name={name}\nconflict={policy}{more}"))
    }

    /// What a PUT says of the whole file.
    fn facts(&self) -> String {
        let (size, digest) = (self.content.len(), digest(&self.content));
        format!("\nsize={size}\nblake3={digest}")
    }
}

/// What the last of these replies says, where all of them are good or refuse alike.
fn outcome(replies: &[Reply], wanted: usize) -> Result<Outcome, Hung> {
    let refusal = replies.iter().find(|reply| reply.status() != "OK");
    match (refusal, replies.last()) {
        (None, Some(last)) if replies.len() == wanted => Ok(Outcome::Stored(last.clone())),
        (None, _) => Ok(Outcome::Lost),
        (Some(refusal), _) => {
            let mut behind = replies.iter().skip_while(|reply| reply.status() == "OK");
            if behind.any(|reply| reply.status() != refusal.status()) {
                return Err(Hung(format!("out of step: {replies:?}")));
            }
            let code = refusal.status().trim_start_matches("ERR ");
            Ok(Outcome::Refused(code.to_owned()))
        }
    }
}

/// Ends a connection in the middle of a body, which the server answers.
fn cut_off(talk: &mut Talk<'_>) -> Result<Outcome, Hung> {
    Ok(match outcome(&talk.finish()?, 1)? {
        Outcome::Refused(code) if code == "incomplete" => Outcome::GivenUp,
        Outcome::Stored(reply) => return Err(Hung(format!("half a body was taken: {reply}"))),
        other => other,
    })
}

/// Runs all of it. An error is an answer that never came, or one that no server may give.
pub(super) fn run(to: &str) -> Result<Vec<Upload>, Hung> {
    let clients = [
        small,
        announced,
        folders,
        conflicts,
        large,
        resumed,
        given_up,
        asked_again,
    ];
    thread::scope(|scope| {
        let running = clients.map(|client| scope.spawn(move || client(&mut Talk::new(to))));
        let mut all = Vec::new();
        for client in running {
            all.extend(client.join().expect("a client doesn't panic")?);
        }
        Ok(all)
    })
}

/// One upload by itself on a connection that others have used.
pub(super) fn one(talk: &mut Talk<'_>, name: &str) -> Result<Upload, Hung> {
    simple(talk, Upload::new(name, 3000))
}

fn simple(talk: &mut Talk<'_>, mut upload: Upload) -> Result<Upload, Hung> {
    let replies = talk.exchange(&upload.message(), upload.replies())?;
    upload.ends(outcome(&replies, upload.replies())?);
    Ok(upload)
}

/// Many small ones, sent ahead: named, unnamed, and an empty one.
fn small(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let named = (0..10).map(|number| Upload::new(&format!("small-{number}"), 100 + number * 977));
    let unnamed = (0..4).map(|number| Upload::unnamed(&format!("unnamed-{number}"), 50_000));
    let mut all: Vec<_> = named
        .chain(unnamed)
        .chain([Upload::new("empty", 0)])
        .collect();
    let messages: Vec<_> = all.iter().flat_map(Upload::message).collect();
    let wanted = all.iter().map(Upload::replies).sum();
    let replies = talk.exchange(&messages, wanted)?;
    let mut rest = &replies[..];
    let mut closes = false;
    for upload in &mut all {
        let (own, others) = rest.split_at(upload.replies().min(rest.len()));
        rest = others;
        upload.ends(match outcome(own, upload.replies())? {
            Outcome::Lost if closes => Outcome::Cut,
            outcome => outcome,
        });
        closes |= matches!(&upload.outcome, Outcome::Refused(code) if code == "unknown");
    }
    Ok(all)
}

/// A PUT with all that there is to say, and one whose digest comes behind its pieces.
fn announced(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let mut first = Upload::new("announced", 200_000);
    let facts = format!("{}\nmode=640\nmtime=1700000000", first.facts());
    let message = [first.announcement(&facts), data(&first.content)].concat();
    first.ends(outcome(&talk.exchange(&message, 2)?, 2)?);
    let mut second = Upload::new("pieces", 1_500_000);
    let (one, other) = second.content.split_at(700_000);
    let message = [
        second.announcement("\nend=explicit"),
        data(one),
        data(other),
        end(format!("blake3={}", digest(&second.content))),
    ];
    second.ends(outcome(&talk.exchange(&message.concat(), 4)?, 4)?);
    Ok(vec![first, second])
}

/// Names that need folders, of which some are shared.
fn folders(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let names = ["a/b/c/1", "a/b/2", "d/3", "a/b/c/4"];
    let all = names.map(|name| simple(talk, Upload::new(name, 5000)));
    all.into_iter().collect()
}

/// Names that are taken: by an upload that gets a number, and by one that is replaced.
fn conflicts(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let mut all = Vec::new();
    for (name, policy) in [
        ("renamed.txt", Policy::Rename),
        ("replaced", Policy::Replace),
    ] {
        for number in 0..3 {
            let label = format!("{name} {number}");
            let mut upload = Upload::new(name, 7000).with(policy, &label);
            let message = [upload.announcement(&upload.facts()), data(&upload.content)].concat();
            upload.ends(outcome(&talk.exchange(&message, 2)?, 2)?);
            all.push(upload);
        }
    }
    Ok(all)
}

/// One that is synced while it comes, and one whose size is told and digest isn't.
fn large(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let mut large = Upload::new("large", LARGE);
    let message = [large.announcement(&large.facts()), data(&large.content)].concat();
    large.ends(outcome(&talk.exchange(&message, 2)?, 2)?);
    let mut middling = Upload::new("middling", 2 << 20);
    let size = format!("\nsize={}", middling.content.len());
    let message = [middling.announcement(&size), data(&middling.content)].concat();
    middling.ends(outcome(&talk.exchange(&message, 2)?, 2)?);
    Ok(vec![large, middling])
}

/// One that is cut off twice and gone on with, and one that is left for another day.
fn resumed(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let mut upload = Upload::new("resumed", 1_500_000);
    upload.id = Some("resumed");
    let mut left = Upload::new("left", 1_500_000);
    left.id = Some("left");
    for (upload, tries) in [(&mut upload, 3), (&mut left, 1)] {
        let more = format!(
            "\nsize={}\nupload={}",
            upload.content.len(),
            upload.id.unwrap_or("")
        );
        let announcement = upload.announcement(&more);
        for number in 0..tries {
            let replies = talk.exchange(&announcement, 1)?;
            let offset = replies
                .first()
                .and_then(|reply| reply.key("offset")?.parse().ok());
            let Some(offset) = offset else {
                upload.ends(outcome(&replies, 1)?);
                continue;
            };
            let rest: &[u8] = upload.content.get(offset..).unwrap_or_default();
            let is_last = number == 2;
            let part = if is_last {
                rest
            } else {
                &rest[..rest.len() / 2]
            };
            talk.send(&[&data_header(8, rest.len() as u64), part].concat());
            if !is_last {
                upload.ends(cut_off(talk)?);
                continue;
            }
            upload.ends(outcome(&talk.replies(1)?, 1)?);
        }
    }
    Ok(vec![upload, left])
}

/// One whose space is reserved, and that is cut off.
fn given_up(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let mut upload = Upload::new("given-up", 20);
    let replies = talk.exchange(&upload.announcement(&format!("\nsize={HUGE}")), 1)?;
    upload.ends(match outcome(&replies, 1)? {
        Outcome::Stored(_) => {
            talk.send(&[data_header(8, HUGE), vec![7; 300_000]].concat());
            cut_off(talk)?
        }
        other => other,
    });
    Ok(vec![upload])
}

/// One that is sent again, as by a client that has lost its receipt.
fn asked_again(talk: &mut Talk<'_>) -> Result<Vec<Upload>, Hung> {
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut upload = Upload::new("asked-again", 60_000);
        let replies = talk.exchange(&upload.announcement(&upload.facts()), 1)?;
        let offset = replies
            .first()
            .and_then(|reply| reply.key("offset")?.parse().ok());
        upload.ends(match offset {
            Some(offset) => {
                let rest: &[u8] = upload.content.get(offset..).unwrap_or_default();
                outcome(&talk.exchange(&data(rest), 1)?, 1)?
            }
            None => outcome(&replies, 1)?,
        });
        all.push(upload);
    }
    Ok(all)
}
