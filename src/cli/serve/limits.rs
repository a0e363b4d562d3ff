//! What `piecemeal serve` takes in all: the options that bound the whole server, and the line that
//! says at the start which limits are in force.

use std::fmt;

use clap::Args;

use super::Arguments;
use crate::cli::units::{Limit, count, rate, show_duration, show_size, size};

/// Limits of the whole server, where those of one upload or one connection stand beside it.
#[derive(Debug, Args)]
pub(super) struct WholeServer {
    /// Most connections at once from one IP address, or one /64 network of IPv6; a further one is
    /// told to come back. 0 is no limit
    #[arg(long, env = "PIECEMEAL_MAX_PER_IP", value_name = "N", value_parser = count, default_value = "0")]
    pub(super) max_per_ip: Limit<usize>,

    /// Most bytes a second that all connections together bring, like 10MB or 512KiB; 0 is no limit
    #[arg(long, env = "PIECEMEAL_LIMIT_RATE", value_name = "RATE", value_parser = rate, default_value = "0")]
    pub(super) limit_rate: Limit<u64>,
}

/// The limits as one start-up line. Those of the whole server are named where they are set.
pub(super) struct Limits<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) connections: usize,
}

impl fmt::Display for Limits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arguments {
            max_size,
            header_timeout,
            stall_timeout,
            idle_timeout,
            min_rate,
            whole,
            ..
        } = self.arguments;
        let size = max_size.0.map_or_else(|| "no limit".to_owned(), show_size);
        let slowest = min_rate
            .0
            .map_or_else(|| "no limit".to_owned(), |rate| format!("{rate} B/s"));
        write!(
            f,
            "limits: size {size}; connections {}; header {}; stall {}; idle {}; slowest {slowest}; stop {}",
            self.connections,
            show_duration(*header_timeout),
            show_duration(*stall_timeout),
            show_duration(*idle_timeout),
            show_duration(self.arguments.shutdown_timeout),
        )?;
        if let Some(most) = whole.max_per_ip.0 {
            write!(f, "; from one address {most}")?;
        }
        if let Some(rate) = whole.limit_rate.0 {
            write!(f, "; all together {}/s", show_size(rate))?;
        }
        Ok(())
    }
}
