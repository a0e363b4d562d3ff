//! What a world is to consist of, as data: made from a seed, and then no longer in need of it, so
//! that a world that fails can be made smaller piece by piece.

use std::time::Duration;

use piecemeal::proto::{Conflict, Deadlines};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::content::Content;
use super::faults::Fault;

/// Names that no server takes.
const BAD_NAMES: &[&str] = &[
    "a:b",
    ".hidden",
    "..",
    "nul.txt",
    "a\u{202e}b",
    "x/y",
    "dot.",
];

/// In about so many pieces does what a client sends come at most.
const PIECES: usize = 100;

/// Where so few bytes are sent in all, the server may read very slowly.
const SLOWLY: usize = 1 << 16;

/// A whole world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) conflict: Conflict,
    /// Whether it is to survive power cuts, or only the server's death.
    pub(crate) is_durable: bool,
    /// Descriptors that the server may use, and bytes a second that it may read.
    pub(crate) descriptors: usize,
    pub(crate) rate: Option<u64>,
    /// How long a peer may stand still.
    pub(crate) deadlines: Deadlines,
    pub(crate) clients: Vec<ClientPlan>,
    pub(crate) faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) id: usize,
    pub(crate) seed: u64,
    /// Milliseconds that its bytes take at most, and bytes that may be on their way.
    pub(crate) delay: u64,
    pub(crate) window: usize,
    pub(crate) does: Does,
}

#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// The project's own client: it retries until all its files are stored, or refused for good.
    Send(Vec<File>),
    /// Another's client, which sends all at once over one connection, right and wrong.
    Script(Vec<Item>),
}

/// A file that is to be stored.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content: Content,
    pub(crate) how: How,
    pub(crate) conflict: Option<Conflict>,
    pub(crate) resumes: bool,
}

/// How a file is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// With its digest.
    Known,
    /// Its digest follows in END.
    AtEnd,
    /// Without any digest.
    Plain,
    /// As a stream of unknown size.
    Stream,
}

/// A step of a script.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// STRING and DATA, with a header longer than it need be.
    Named,
    Unnamed,
    /// A name that is refused, and the DATA behind it.
    BadName,
    /// A name that is followed by one that is refused, before any DATA.
    Replaced,
    /// A name that is no text.
    NotText,
    /// An END that ends nothing.
    StrayEnd,
    /// PUT with `end=explicit`, many DATA, END with the digest.
    Explicit,
    /// The same with another's digest.
    WrongDigest,
    /// The same with a size in END that isn't the upload's.
    WrongSize,
    /// The same with more DATA than its PUT said.
    TooMuch,
    /// DATA that isn't as long as its PUT said.
    WrongLength,
    /// So many unnamed files, or messages that are refused, that the server reads no more of them
    /// before it has got rid of some replies.
    ManyFiles,
    ManyRefused,
    /// No message: the last of a script.
    BadType,
    /// A body that its sender cuts off: the last of a script.
    Truncated,
}

impl Kind {
    /// Whether the server may store what it sends.
    pub(crate) fn may_be_stored(self) -> bool {
        matches!(
            self,
            Kind::Named | Kind::Unnamed | Kind::Explicit | Kind::ManyFiles
        )
    }
}

impl Plan {
    pub(crate) fn from_seed(seed: u64) -> Plan {
        let rng = &mut SmallRng::seed_from_u64(seed);
        let conflict = [Conflict::Error, Conflict::Rename, Conflict::Overwrite];
        let conflict = conflict[rng.random_range(0..3)];
        let is_durable = rng.random_range(0..6) > 0;
        let clients = match rng.random_range(0..10) {
            0..4 => rng.random_range(1..3),
            4..8 => rng.random_range(2..5),
            _ => rng.random_range(4..9),
        };
        let descriptors = match rng.random_range(0..3) {
            0 => rng.random_range(2..8),
            1 => rng.random_range(8..40),
            _ => rng.random_range(8..200),
        };
        let deadlines = match rng.random_range(0..3) {
            0 => short_deadlines(rng),
            _ => Deadlines::default(),
        };
        let clients: Vec<ClientPlan> = (0..clients)
            .map(|id| ClientPlan::new(id, conflict, rng))
            .collect();
        // So slow that who waits for a turn would be too slow for the rules, where little is sent.
        let least = match clients.iter().map(ClientPlan::bytes).sum() {
            0..SLOWLY => 10,
            _ => 17,
        };
        let rate = (rng.random_range(0..8) == 0).then(|| 1 << rng.random_range(least..24));
        let faults = Fault::some(clients.len(), is_durable, rng);
        Plan {
            seed,
            conflict,
            is_durable,
            descriptors,
            rate,
            deadlines,
            clients,
            faults,
        }
    }
}

impl ClientPlan {
    fn new(id: usize, conflict: Conflict, rng: &mut SmallRng) -> ClientPlan {
        let delay = [0, 2, 2, 20, 300][rng.random_range(0..5)];
        let count = rng.random_range(1..6);
        // What is thrown away is read for 30 s only, so no link is much slower than a megabyte in
        // that.
        let least = if delay > 20 { 17 } else { 6 };
        let mut window = 1 << rng.random_range(least..22);
        let does = match rng.random_range(0..9) {
            0..3 => Does::Script(script(id, count, rng)),
            3 => {
                // Large ones, in so many pieces that they are interrupted.
                window = window.clamp(1 << 12, 1 << 17);
                let count = rng.random_range(1..3);
                Does::Send((0..count).map(|_| File::large(conflict, rng)).collect())
            }
            _ => Does::Send((0..count).map(|_| File::new(conflict, rng)).collect()),
        };
        let seed = rng.random();
        let mut plan = ClientPlan {
            id,
            seed,
            delay,
            window,
            does,
        };
        // Small enough for very many pieces is small enough.
        plan.window = window.max(plan.bytes() / PIECES);
        plan
    }

    fn bytes(&self) -> usize {
        match &self.does {
            Does::Send(files) => files.iter().map(|it| it.content.size).sum(),
            Does::Script(items) => items.iter().map(|it| it.content.size).sum(),
        }
    }

    /// Files or steps that it has.
    pub(crate) fn count(&self) -> usize {
        match &self.does {
            Does::Send(files) => files.len(),
            Does::Script(items) => items.len(),
        }
    }
}

impl File {
    fn new(conflict: Conflict, rng: &mut SmallRng) -> File {
        let wishes = [Conflict::Error, Conflict::Rename, Conflict::Overwrite];
        let wish = Some(wishes[rng.random_range(0..3)]);
        let how = [How::Known, How::AtEnd, How::Plain, How::Stream][rng.random_range(0..4)];
        let name = match rng.random_range(0..16) {
            0 => BAD_NAMES[rng.random_range(0..BAD_NAMES.len())].to_owned(),
            _ => format!("f{}.bin", rng.random_range(0..6)),
        };
        File {
            name,
            content: Content::new(size(rng), rng),
            how,
            conflict: wish.filter(|wish| rng.random_range(0..4) == 0 && conflict.allows(*wish)),
            resumes: rng.random_range(0..4) > 0,
        }
    }

    /// One that can be resumed.
    fn large(conflict: Conflict, rng: &mut SmallRng) -> File {
        let content = Content::new(rng.random_range((1 << 20) + 1..(5 << 18)), rng);
        let resumes = true;
        let how = [How::Known, How::AtEnd, How::Plain][rng.random_range(0..3)];
        File {
            content,
            resumes,
            how,
            ..File::new(conflict, rng)
        }
    }

    pub(crate) fn has_bad_name(&self) -> bool {
        BAD_NAMES.contains(&self.name.as_str())
    }
}

/// Shorter than a slow disk may take for a commit, and longer than anybody needs who isn't disturbed.
fn short_deadlines(rng: &mut SmallRng) -> Deadlines {
    let mut seconds = |most| Some(Duration::from_secs(rng.random_range(4..most)));
    Deadlines {
        header: seconds(10),
        stall: seconds(60),
        idle: seconds(60),
        ..Deadlines::default()
    }
}

/// Most files are small; one in sixty is too large to run ahead of its commit.
fn size(rng: &mut SmallRng) -> usize {
    match rng.random_range(0..60) {
        0 => rng.random_range((1 << 20) - 2..(5 << 18)),
        1..6 => rng.random_range(0..1 << 17),
        6..30 => rng.random_range(0..1 << 13),
        30 => 0,
        _ => rng.random_range(0..300),
    }
}

fn script(id: usize, count: usize, rng: &mut SmallRng) -> Vec<Item> {
    // The last two end a script.
    let kinds = [
        Kind::Named,
        Kind::Named,
        Kind::Unnamed,
        Kind::BadName,
        Kind::Replaced,
        Kind::NotText,
        Kind::StrayEnd,
        Kind::Explicit,
        Kind::Explicit,
        Kind::WrongDigest,
        Kind::WrongSize,
        Kind::TooMuch,
        Kind::WrongLength,
        Kind::BadType,
        Kind::Truncated,
    ];
    // One script in thirty floods the server.
    let many = [Kind::ManyFiles, Kind::ManyRefused][rng.random_range(0..2)];
    let floods = (rng.random_range(0..30) == 0).then(|| rng.random_range(0..2 * count));
    let mut items: Vec<Item> = Vec::new();
    for number in 0..2 * count {
        let is_last = number + 1 == 2 * count;
        let some = kinds.len() - if is_last { 0 } else { 2 };
        let kind = match floods {
            Some(at) if at == number => many,
            _ => kinds[rng.random_range(0..some)],
        };
        let name = match kind {
            Kind::BadName => BAD_NAMES[rng.random_range(0..BAD_NAMES.len())].to_owned(),
            _ => format!("s{id}-{number}.bin"),
        };
        // At least so long that no two are alike by chance.
        let size = match kind {
            Kind::ManyFiles | Kind::ManyRefused => 16,
            _ => size(rng).max(16),
        };
        let content = Content::new(size, rng);
        items.push(Item {
            kind,
            name,
            content,
        });
    }
    items
}
