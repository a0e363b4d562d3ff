//! What a session tells whoever watches it. Where nobody does, each call costs one branch.

use super::{Session, Surroundings};
use crate::net::Duplex;
use crate::observe::trace::What;
use crate::proto::{Machine, Position};
use crate::store::Store;

impl<M: Machine, S: Store, T: Duplex> Session<M, S, T> {
    /// Tells of something, behind the steps that were taken before it.
    pub(super) fn trace(&mut self, around: &mut Surroundings<'_, S>, what: impl FnOnce() -> What) {
        if around.trace.is_none() {
            return;
        }
        self.trace_steps(around);
        if let Some(watch) = &mut around.trace {
            watch.tell(around.now, what());
        }
    }

    /// Tells of the steps that the machine has taken. What nobody wants to hear is thrown away,
    /// so that it can't pile up.
    pub(super) fn trace_steps(&mut self, around: &mut Surroundings<'_, S>) {
        while let Some(step) = self.machine.poll_step() {
            if let Some(watch) = &mut around.trace {
                watch.tell(around.now, step.into());
            }
        }
    }

    /// Where the machine stands before it is given bytes.
    pub(super) fn trace_position(&mut self, around: &mut Surroundings<'_, S>) -> Option<Position> {
        around.trace.as_ref()?;
        self.trace_steps(around);
        Some(self.machine.position())
    }

    /// Tells how many bytes the state has taken in which the machine stood, and what followed.
    pub(super) fn trace_taken(
        &mut self,
        stood: Option<Position>,
        took: usize,
        around: &mut Surroundings<'_, S>,
    ) {
        let (Some(before), Some(watch)) = (stood, &mut around.trace) else {
            return;
        };
        let first = self.machine.poll_step();
        let after = self.machine.position();
        let has_left = first.is_some() || after.state != before.state;
        watch.tell(
            around.now,
            What::stands(before, took as u64, after, has_left),
        );
        if let Some(step) = first {
            watch.tell(around.now, step.into());
        }
        self.trace_steps(around);
    }
}
