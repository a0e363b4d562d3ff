//! A plan in words, for whoever has to find out why it fails.

use std::fmt;

use super::plan::{Does, Plan};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let durable = if self.is_durable { "full" } else { "none" };
        let (conflict, descriptors) = (self.conflict, self.descriptors);
        write!(
            f,
            "a server with --on-conflict {conflict}, --durability {durable} and {descriptors} descriptors"
        )?;
        if let Some(rate) = self.rate {
            write!(f, ", at {rate} bytes a second")?;
        }
        let piecemeal::proto::Deadlines {
            header,
            stall,
            idle,
            ..
        } = self.deadlines;
        write!(f, ", header {header:?}, stall {stall:?}, idle {idle:?}")?;
        for client in &self.clients {
            let (id, delay, window) = (client.id, client.delay, client.window);
            write!(
                f,
                "\n  client {id}, its bytes up to {delay} ms late, {window} at a time:"
            )?;
            match &client.does {
                Does::Send(files) => {
                    for file in files {
                        let (name, size, how) = (&file.name, file.content.size, file.how);
                        write!(f, "\n    sends {name:?}, {size} bytes, {how:?}")?;
                        if let Some(wish) = file.conflict {
                            write!(f, ", conflict={wish}")?;
                        }
                    }
                }
                Does::Script(items) => {
                    for item in items {
                        let (kind, size) = (item.kind, item.content.size);
                        write!(f, "\n    {kind:?} {:?}, {size} bytes", item.name)?;
                    }
                }
            }
        }
        for fault in &self.faults {
            write!(f, "\n  in round {}: {:?}", fault.round, fault.what)?;
        }
        Ok(())
    }
}
