//! Makes a world that fails smaller, as long as it still fails: fewer faults, clients and files,
//! and shorter ones.

use piecemeal::proto::Conflict;

use super::plan::{ClientPlan, Does, Plan};

/// Worlds that are tried at most.
const TRIES: usize = 800;

/// The smallest plan that was found to fail.
pub(crate) fn smallest(mut plan: Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut tries = 0;
    loop {
        let mut found = None;
        for smaller in smaller(&plan) {
            tries += 1;
            if tries > TRIES {
                return plan;
            }
            if fails(&smaller) {
                found = Some(smaller);
                break;
            }
        }
        match found {
            Some(smaller) => plan = smaller,
            None => return plan,
        }
    }
}

/// Every plan that is one step smaller, those that promise most first.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for at in 0..plan.clients.len() {
        with(&|plan| {
            plan.clients.remove(at);
        });
    }
    let faults = plan.faults.len();
    if faults > 3 {
        with(&|plan| plan.faults.truncate(faults / 2));
        with(&|plan| drop(plan.faults.drain(..faults / 2)));
    }
    for at in (0..faults).rev() {
        with(&|plan| {
            plan.faults.remove(at);
        });
    }
    for (at, client) in plan.clients.iter().enumerate() {
        for which in 0..client.count() {
            with(&|plan| plan.clients[at].remove(which));
        }
    }
    for (at, client) in plan.clients.iter().enumerate() {
        for which in (0..client.count()).filter(|which| client.size(*which) > 32) {
            with(&|plan| plan.clients[at].halve(which));
        }
        if client.delay > 0 {
            with(&|plan| plan.clients[at].delay = 0);
        }
        if client.window < 1 << 20 {
            with(&|plan| plan.clients[at].window = 1 << 20);
        }
    }
    if plan.rate.is_some() {
        with(&|plan| plan.rate = None);
    }
    if plan.descriptors < 40 {
        with(&|plan| plan.descriptors = 40);
    }
    if plan.conflict != Conflict::Error {
        with(&|plan| plan.conflict = Conflict::Error);
    }
    all
}

impl ClientPlan {
    fn remove(&mut self, which: usize) {
        match &mut self.does {
            Does::Send(files) => drop(files.remove(which)),
            Does::Script(items) => drop(items.remove(which)),
        }
    }

    fn size(&self, which: usize) -> usize {
        match &self.does {
            Does::Send(files) => files[which].content.size,
            Does::Script(items) => items[which].content.size,
        }
    }

    fn halve(&mut self, which: usize) {
        let content = match &mut self.does {
            Does::Send(files) => &mut files[which].content,
            Does::Script(items) => &mut items[which].content,
        };
        *content = content.halved();
    }
}
