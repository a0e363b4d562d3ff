//! What a sending client hears of its files, and whether that may be so.

use std::time::Duration;

use piecemeal::proto::reply::Refusal;
use piecemeal::proto::sender::Event;
use piecemeal::proto::{Code, Conflict, Receipt};

use super::client::Net;
use super::plan::{File, How};
use super::sending::Sending;

impl Sending {
    pub(super) fn hear(&mut self, event: Event, net: &mut Net<'_>) -> Result<(), String> {
        match event {
            Event::Resumed(..) => net.checks.figures.add("uploads resumed", 1),
            Event::Said(..) => return Err("nobody said anything".to_owned()),
            Event::TurnedAway(refusal) => {
                self.is_closing = true;
                let is_fair = match refusal.code {
                    Some(Code::Busy) => net.checks.disk_is_slow,
                    Some(Code::BadState) => self.link.has_abandoned,
                    _ => self.link.is_disturbed(),
                };
                if !is_fair {
                    return Err(format!(
                        "client {} is turned away: {refusal:?}",
                        self.link.id
                    ));
                }
            }
            Event::Stored(id, receipt) => {
                let (_, file) = self.take(id)?;
                self.stored(&file, &receipt, net)?;
            }
            Event::Refused(id, refusal) => {
                let (number, file) = self.take(id)?;
                self.refused(number, file, &refusal, net)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, id: u64) -> Result<(usize, File), String> {
        let at = self.under_way.iter().position(|(known, ..)| *known == id);
        let (_, number, file) = self.under_way.remove(at.ok_or("an outcome too many")?);
        Ok((number, file))
    }

    fn stored(&self, file: &File, receipt: &Receipt, net: &mut Net<'_>) -> Result<(), String> {
        net.checks.figures.add("files stored", 1);
        let there = net.checks.there(&receipt.name);
        let is_it = there == Some((file.content.size, file.content.digest));
        let may_differ = net.checks.overwrites && there.is_some();
        let stem = file.name.trim_end_matches(".bin");
        let named = match self.policy(file, net) {
            Conflict::Rename => receipt.name.starts_with(stem),
            _ => receipt.name == file.name,
        };
        if file.has_bad_name() || !named || !(is_it || may_differ) {
            return Err(format!("{file:?} got {receipt:?}, and {there:?} is there"));
        }
        Ok(())
    }

    fn policy(&self, file: &File, net: &Net<'_>) -> Conflict {
        file.conflict.unwrap_or(net.rules.conflict)
    }

    /// An upload is refused: for good, or to be tried again. Anything else is the server's error.
    fn refused(
        &mut self,
        number: usize,
        mut file: File,
        refusal: &Refusal,
        net: &mut Net<'_>,
    ) -> Result<(), String> {
        self.is_closing |= refusal.closes();
        let wrong = || Err(format!("{file:?} is refused: {refusal:?}"));
        match refusal.code {
            Some(Code::BadName) if file.has_bad_name() => return Ok(()),
            Some(Code::Exists) if self.policy(&file, net) == Conflict::Error => match file.how {
                // It may be its own, from a try that wasn't answered.
                How::AtEnd | How::Stream => file.how = How::Known,
                How::Plain => return Ok(()),
                How::Known => {
                    let own = Some((file.content.size, file.content.digest));
                    if net.checks.there(&file.name) == own && !net.checks.overwrites {
                        return wrong();
                    }
                    return Ok(());
                }
            },
            Some(Code::NoSpace | Code::Io | Code::Unknown) if net.checks.disk_is_troubled => {}
            Some(Code::Timeout | Code::Shutdown | Code::Incomplete) if self.link.is_disturbed() => {
            }
            Some(Code::Busy) if net.checks.disk_is_slow => {}
            // The file that was there is gone meanwhile; or the upload was taken over.
            Some(Code::BadState) if net.checks.overwrites || self.link.has_abandoned => {
                self.is_closing = true;
            }
            _ => return wrong(),
        }
        self.rests_until = net.now + Duration::from_secs(1);
        self.files.push_back((number, file));
        Ok(())
    }
}
