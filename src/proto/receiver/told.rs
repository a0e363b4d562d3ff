//! What a machine keeps for whoever wants to hear of it: nothing, where nobody does.

use std::collections::VecDeque;

use super::Receiver;
use crate::proto::error::Fault;
use crate::proto::reply::Reply;
use crate::proto::transitions::Transition;

/// What somebody wants to hear of. Boxed, since nearly all machines have none.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) steps: VecDeque<Transition>,
    pub(super) faults: VecDeque<Fault>,
}

impl Receiver {
    /// Every reply that is known at once goes through here; another fills its place later.
    pub(super) fn push(&mut self, reply: Reply) {
        self.keep_fault(&reply);
        self.replies.push(reply);
    }

    /// Keeps a fault that is to be told.
    pub(super) fn keep_fault(&mut self, reply: &Reply) {
        if self.rules.tell_faults
            && let Reply::Fault(fault) = reply
        {
            let told = self.told.get_or_insert_default();
            told.faults.push_back(fault.clone());
        }
    }
}
