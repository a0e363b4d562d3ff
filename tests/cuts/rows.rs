//! The strategies that are tried: each is a file system, and a way in which the server syncs.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::disk::{Cut, Kind};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(super) kind: Kind,
    pub(super) cuts: &'static [Cut],
    pub(super) is_calm: bool,
    /// Further arguments of the server.
    pub(super) arguments: &'static [&'static str],
    pub(super) lies: bool,
    /// Whether files have to be lost, or else the trial couldn't see it.
    pub(crate) is_control: bool,
    /// How many clients, and the most bytes of a file.
    load: Load,
}

#[derive(Clone, Copy)]
enum Load {
    /// One client, or two or three on a disk that is busy: each file is synced by itself.
    Single,
    /// Many with small files: a batch is synced by two calls.
    Many,
}

const BOTH: &[Cut] = &[Cut::Log, Cut::Cache];

const fn row(name: &'static str, kind: Kind, cuts: &'static [Cut], load: Load) -> Row {
    Row {
        name,
        kind,
        cuts,
        is_calm: matches!(load, Load::Many),
        arguments: &[],
        lies: false,
        is_control: false,
        load,
    }
}

const fn control(row: Row) -> Row {
    Row {
        is_control: true,
        ..row
    }
}

/// All of them; the controls are the last.
pub(crate) const ROWS: &[Row] = &[
    row("ext4, each file by itself", Kind::Ext4, BOTH, Load::Single),
    row("ext4, batches by syncfs", Kind::Ext4, BOTH, Load::Many),
    row(
        "ext4 without a journal, each by itself",
        Kind::Bare,
        BOTH,
        Load::Single,
    ),
    row(
        "ext4 without a journal, batches",
        Kind::Bare,
        BOTH,
        Load::Many,
    ),
    row("XFS, each by itself", Kind::Xfs, BOTH, Load::Single),
    row("XFS, batches", Kind::Xfs, BOTH, Load::Many),
    row(
        "Btrfs, each by itself",
        Kind::Btrfs,
        &[Cut::Cache],
        Load::Single,
    ),
    row("Btrfs, batches", Kind::Btrfs, &[Cut::Cache], Load::Many),
    control(Row {
        arguments: &["--durability", "none"],
        ..row("control: --durability none", Kind::Ext4, BOTH, Load::Many)
    }),
    control(Row {
        lies: true,
        ..row(
            "control: syncs that do nothing",
            Kind::Ext4,
            BOTH,
            Load::Many,
        )
    }),
    control(Row {
        lies: true,
        ..row(
            "control: syncs that do nothing, each by itself",
            Kind::Ext4,
            BOTH,
            Load::Single,
        )
    }),
];

impl Row {
    /// How many clients, and the most bytes of a file.
    pub(super) fn load(&self, random: &mut SmallRng) -> (u64, usize) {
        match self.load {
            Load::Single => (
                [1, 1, 2, 3][random.random_range(0..4)],
                [20_000, 3 << 20][random.random_range(0..2)],
            ),
            Load::Many => (random.random_range(6..20), 20_000),
        }
    }
}

impl Cut {
    pub(super) fn name(self) -> &'static str {
        match self {
            Cut::Log => "log lost",
            Cut::Cache => "cache lost",
        }
    }
}
