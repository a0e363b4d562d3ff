//! The servers of a world, one after the other: how each starts, and how it dies, whether the
//! process is killed, the power goes, its disk has failed or it was told to stop.

use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::server::{Phase, Server};
use super::store::ModelStore;
use super::world::World;

impl World {
    /// Starts a server where there is none; ends one that has stopped, or whose disk has failed.
    pub(super) fn run_servers(&mut self) -> bool {
        let Some(server) = &self.server else {
            if self.now < self.starts_at {
                return false;
            }
            let rng = SmallRng::seed_from_u64(self.rng.random());
            let disk = Rc::clone(&self.disk);
            let store = ModelStore::new(disk, self.is_durable, self.now, rng);
            let checks = Rc::clone(&self.checks);
            self.server = Some(Server::start(self.setting.clone(), store, checks, self.now));
            self.checks
                .borrow_mut()
                .tell(|| "a server starts".to_owned());
            return true;
        };
        if server.hub.phase == Phase::Stopped {
            let mut wires = server.hub.wires.iter();
            if let Some(wire) = wires.find(|wire| wire.borrow().was_forgotten()) {
                let why = format!("client {} isn't told of the stop", wire.borrow().client);
                self.checks.borrow_mut().fail(why);
            }
            let mut wires = server.hub.wires.iter();
            if let Some(wire) = wires.find(|wire| wire.borrow().was_cut_off()) {
                let why = format!("client {}'s upload had time", wire.borrow().client);
                self.checks.borrow_mut().fail(why);
            }
            self.kill(Duration::ZERO);
            return true;
        }
        if server.hub.store.0.borrow().has_failed {
            let after = Duration::from_millis(self.rng.random_range(0..20_000));
            if *self.seen_at.get_or_insert(self.now + after) <= self.now {
                self.kill(Duration::ZERO);
                return true;
            }
        }
        false
    }

    pub(super) fn kill(&mut self, pause: Duration) {
        self.starts_at = self.now + pause;
        self.seen_at = None;
        let Some(server) = self.server.take() else {
            return;
        };
        self.checks
            .borrow_mut()
            .tell(|| "the server is gone".to_owned());
        self.count(&server);
        self.disturb_all();
        for wire in server.kill() {
            wire.borrow_mut().reset();
        }
        self.disk.borrow_mut().forget_server();
    }

    pub(super) fn cut_power(&mut self, pause: Duration) {
        for wire in &self.wires {
            wire.borrow_mut().reset();
        }
        self.kill(pause);
        self.disk.borrow_mut().cut_power(&mut self.rng);
        self.checks.borrow_mut().promises_are_kept();
    }

    pub(super) fn stop(&mut self, within: Duration) {
        for wire in &self.wires {
            let wire = &mut *wire.borrow_mut();
            wire.is_to_be_told = !wire.is_disturbed && wire.token.is_some();
        }
        self.disturb_all();
        if let Some(server) = &mut self.server
            && server.hub.phase == Phase::Serving
        {
            server.stop(self.now, within);
        }
    }

    fn disturb_all(&self) {
        for wire in &self.wires {
            wire.borrow_mut().is_disturbed = true;
        }
    }

    fn count(&self, server: &Server) {
        let figures = &mut self.checks.borrow_mut().figures;
        let core = server.hub.store.0.borrow();
        figures.add("batches committed", core.batches);
        figures.add("uploads taken over", core.taken_over);
        figures.add("servers", 1);
        figures.add("messages", server.messages());
    }
}
