//! What `piecemeal serve` takes in all: the options that bound the whole server, and the line that
//! says at the start which limits are in force.

use std::sync::Arc;
use std::{fmt, io};

use clap::Args;
use piecemeal::store::FolderStore;
use piecemeal::store::folder::Space;

use super::Arguments;
use crate::cli::units::{Limit, count, rate, show_duration, show_size, size};

/// Limits of the whole server, where those of one upload or one connection stand beside it.
#[derive(Debug, Args)]
pub(super) struct WholeServer {
    /// Most bytes that the folder may hold, files that are still arriving included, like 500GB or
    /// 2TiB; 0 is no limit
    #[arg(long, env = "PIECEMEAL_QUOTA", value_name = "SIZE", value_parser = size, default_value = "0")]
    pub(super) quota: Limit<u64>,

    /// Bytes that have to stay free on the folder's file system; 0 leaves none
    #[arg(long, env = "PIECEMEAL_MIN_FREE", value_name = "SIZE", value_parser = size, default_value = "0")]
    pub(super) min_free: Limit<u64>,

    /// Most connections at once from one IP address, or one /64 network of IPv6; a further one is
    /// told to come back. 0 is no limit
    #[arg(long, env = "PIECEMEAL_MAX_PER_IP", value_name = "N", value_parser = count, default_value = "0")]
    pub(super) max_per_ip: Limit<usize>,

    /// Most bytes a second that all connections together bring, like 10MB or 512KiB; 0 is no limit
    #[arg(long, env = "PIECEMEAL_LIMIT_RATE", value_name = "RATE", value_parser = rate, default_value = "0")]
    pub(super) limit_rate: Limit<u64>,
}

/// The limits of the folder, which the stores of all workers keep to together.
pub(super) struct SpaceLimits {
    quota: Option<u64>,
    min_free: Option<u64>,
    /// Made with the first store.
    space: Option<Arc<Space>>,
}

impl SpaceLimits {
    pub(super) fn new(arguments: &WholeServer) -> SpaceLimits {
        SpaceLimits {
            quota: arguments.quota.0,
            min_free: arguments.min_free.0,
            space: None,
        }
    }

    /// Limits one more store of the folder, if anything is to be limited.
    pub(super) fn limit(&mut self, store: &mut FolderStore) -> io::Result<()> {
        match &self.space {
            Some(space) => store.share(space),
            None if self.quota.is_none() && self.min_free.is_none() => {}
            None => self.space = Some(store.limit(self.quota, self.min_free)?),
        }
        Ok(())
    }

    /// Bytes that the folder holds, as far as they were counted.
    pub(super) fn used(&self) -> u64 {
        self.space.as_ref().map_or(0, |space| space.used())
    }
}

/// The limits as one start-up line. Those of the whole server are named where they are set.
pub(super) struct Limits<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) connections: usize,
    /// Bytes that the folder holds, where they were counted.
    pub(super) used: u64,
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
        let partials = match self.arguments.partial_ttl {
            Limit(None) => "not kept".to_owned(),
            ttl => show_duration(ttl),
        };
        write!(
            f,
            "limits: size {size}; connections {}; header {}; stall {}; idle {}; slowest {slowest}; stop {}; partials {partials}",
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
        if let Some(quota) = whole.quota.0 {
            let (quota, used) = (show_size(quota), show_size(self.used));
            write!(f, "; quota {quota}, of which {used} are used")?;
        }
        if let Some(free) = whole.min_free.0 {
            write!(f, "; free space left {}", show_size(free))?;
        }
        if self.arguments.flat {
            f.write_str("; names flat")?;
        }
        Ok(())
    }
}
