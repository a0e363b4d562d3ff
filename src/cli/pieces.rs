//! The options that cut up what a client sends, so that a server gets to see partial reads.

use clap::Args;
use piecemeal::net::{Dribble, PAUSE, Pieces, Sizes};

use super::units;

#[derive(Debug, Args)]
#[command(next_help_heading = "Partial reads at will")]
pub(super) struct PiecesArguments {
    /// Send so many bytes at a time, with a pause behind each piece: 1B/100ms. Without a time the
    /// pause is 5 ms, so that the other side most likely reads each piece by itself. A server may find
    /// it too slow (serve: --min-rate)
    #[arg(long, env = "PIECEMEAL_DRIBBLE", value_name = "SIZE/TIME")]
    dribble: Option<Dribble>,

    /// Send the first bytes of a connection in pieces of these sizes, with the pause of --dribble
    /// behind each, or 5 ms; the rest goes as --dribble says, or as it will
    #[arg(long, env = "PIECEMEAL_PIECES", value_name = "SIZE,SIZE…")]
    pieces: Option<Sizes>,

    /// Close each connection after so many of its bytes, headers included. The other side sees
    /// its stream end there in the ordinary way; it is no reset
    #[arg(long, env = "PIECEMEAL_CUT_AFTER", value_name = "SIZE", value_parser = units::bytes)]
    cut_after: Option<u64>,
}

impl PiecesArguments {
    /// What is asked for, if anything is.
    pub(super) fn plan(&self) -> Option<Pieces> {
        Pieces::new(self.pieces.as_ref(), self.dribble, self.cut_after)
    }
}

// The help says it in figures.
const _: () = assert!(PAUSE.as_millis() == 5);
