//! The whole protocol in one thread: clients, a server and a disk under a virtual clock, with all
//! chance taken from one seed. What is promised is checked after every step.

mod content;
mod disk;
mod ends;
mod link;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use content::digest;
use disk::{Disk, Done, Handle};
use link::{Pipe, Span};
use piecemeal::proto::sender::{Check, Event, Upload};
use piecemeal::proto::{
    Action, Answer, Begun, Code, Conflict, Fault, Machine, Metadata, Moment, Receiver, Rules,
    Sender, UploadId, Want,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Steps after which nothing disturbs any more, and after which all must be done. Megabytes through
/// the narrowest pipe take tens of thousands.
const CALM_AFTER: u32 = 400;
const STEPS_MOST: u32 = 400_000;

struct File {
    name: String,
    size: u64,
    content: u32,
    at_end: bool,
}

/// The server's end of a connection.
struct Session {
    machine: Receiver,
    upload: Option<Handle>,
    /// Bytes of output, and replies, that were looked at.
    seen: usize,
    replies: u64,
    /// The most that was safe of any upload when it was opened: no reply may offer more.
    safe: u64,
}

struct Client {
    files: VecDeque<File>,
    under_way: Vec<(u64, File)>,
    sender: Sender,
    up: Pipe,
    down: Pipe,
    is_connected: bool,
    session: Option<Session>,
    next_id: u64,
    wait_until: Moment,
    /// Which connection this is, over all clients: a late answer of the disk is nobody's else.
    number: usize,
}

struct World {
    rng: SmallRng,
    now: Moment,
    disk: Disk,
    rules: Arc<Rules>,
    clients: Vec<Client>,
    /// Every file that a client has: name, size, digest.
    known: Vec<(String, u64, piecemeal::proto::Digest)>,
    promised: Vec<(String, u64, piecemeal::proto::Digest)>,
    connections: usize,
    story: Vec<String>,
}

/// Runs one seed; what went wrong, with the last of what had happened before.
pub(crate) fn run(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed);
    world.run().map_err(|why| {
        let from = world.story.len().saturating_sub(40);
        format!(
            "seed {seed}: {why}\n{}\nagain: PIECEMEAL_SIMULATION_SEED={seed} cargo test --test simulation",
            world.story[from..].join("\n")
        )
    })
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = SmallRng::seed_from_u64(seed);
        let conflict = [Conflict::Error, Conflict::Rename, Conflict::Overwrite];
        let conflict = conflict[rng.random_range(0..3)];
        let mut known = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..rng.random_range(1..4) {
            let mut files = VecDeque::new();
            for _ in 0..rng.random_range(1..5) {
                let content = u32::try_from(known.len()).expect("few") + 1;
                let name = format!("f{}.bin", rng.random_range(0..6));
                let bits = rng.random_range(1..27);
                let size = rng.random_range(0..1u64 << bits);
                known.push((name.clone(), size, digest(content, size)));
                let at_end = rng.random();
                files.push_back(File {
                    name,
                    size,
                    content,
                    at_end,
                });
            }
            clients.push(Client {
                files,
                under_way: Vec::new(),
                sender: Sender::new(None, Moment::START),
                up: Pipe::new(0),
                down: Pipe::new(0),
                is_connected: false,
                session: None,
                next_id: 0,
                wait_until: Moment::START,
                number: 0,
            });
        }
        World {
            rng,
            now: Moment::START,
            disk: Disk::default(),
            rules: Arc::new(Rules {
                conflict,
                ..Rules::default()
            }),
            clients,
            known,
            promised: Vec::new(),
            connections: 0,
            story: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for step in 0..STEPS_MOST {
            self.now = self.now + Duration::from_millis(self.rng.random_range(0..5));
            if step < CALM_AFTER {
                self.disturb();
            } else if step == CALM_AFTER {
                self.restart();
                self.disk.is_full = false;
                self.disk.fail_writes = 0;
            } else if self.rng.random_range(0..20) == 0 {
                self.now = self.now + Duration::from_secs(5);
            }
            let which = self.rng.random_range(0..self.clients.len());
            match self.rng.random_range(0..4) {
                0 => self.client(which)?,
                1 | 2 => self.server(which)?,
                _ => self.disk_step()?,
            }
            self.nothing_partial_is_seen()?;
            let done = |client: &Client| {
                client.files.is_empty() && client.under_way.is_empty() && client.session.is_none()
            };
            if step > CALM_AFTER && self.clients.iter().all(done) && !self.disk.is_busy() {
                return match self.disk.open() {
                    0 => self.promises_are_kept(),
                    open => Err(format!("{open} uploads are left open")),
                };
            }
        }
        Err("no end is in sight: a deadlock".to_owned())
    }

    fn disturb(&mut self) {
        let which = self.rng.random_range(0..self.clients.len());
        let what = match self.rng.random_range(0..400) {
            0 => {
                self.restart();
                "the server is killed"
            }
            1 => {
                self.disk.cut_power(&mut self.rng);
                self.sessions_die();
                "the power goes"
            }
            2..5 => {
                self.disk.is_full ^= true;
                "the disk is full, or no more"
            }
            5 => {
                self.disk.fail_syncs = 1;
                "a sync will fail"
            }
            6 => {
                self.disk.fail_writes = 1;
                "a write will fail"
            }
            7..11 => {
                self.clients[which].up.cut();
                if let Some(session) = &mut self.clients[which].session {
                    session.machine.handle_lost(self.now);
                }
                self.lose(which);
                "a connection is reset"
            }
            11..13 => {
                self.clients[which].up.ended = true;
                "a client ends its stream early"
            }
            13..16 => {
                let until = self.now + Duration::from_secs(self.rng.random_range(1..200));
                self.clients[which].up.stalled_until = until;
                self.now = until;
                "a client stands still"
            }
            _ => return,
        };
        self.story.push(format!("{:?} {which}: {what}", self.now));
    }

    fn restart(&mut self) {
        self.disk.forget_server();
        self.sessions_die();
    }

    fn sessions_die(&mut self) {
        for which in 0..self.clients.len() {
            self.clients[which].session = None;
            self.lose(which);
        }
    }

    /// A client loses its connection, and will try what is unanswered again.
    fn lose(&mut self, which: usize) {
        let client = &mut self.clients[which];
        client.is_connected = false;
        client.up.ended = true;
        client.wait_until = self.now + Duration::from_secs(1);
        for (id, mut file) in std::mem::take(&mut client.under_way) {
            // It may be stored: with its digest, the server will know.
            file.at_end &= client.sender.sealed(id).is_none();
            client.files.push_back(file);
        }
    }
}
