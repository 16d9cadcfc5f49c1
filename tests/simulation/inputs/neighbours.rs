//! Workers of the KCL in the same table, and a stream that is created again under the same name.

use super::kcl::KclWorker;
use super::kcl_table::kcl_name;
use super::run::Run;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// At most so many workers of the KCL run.
const MAX_KCL: usize = 2;

impl Run {
    /// Starts a worker of the KCL, or stops or crashes one.
    pub(super) async fn change_kcl(&mut self) {
        let Some(version) = self.plan.kcl else { return };
        if self.with.checker.leases.leases().is_empty() {
            return;
        }
        if self.kcl.len() < MAX_KCL && self.random.u32(0..3) > 0 {
            self.kcl_count += 1;
            let name = (kcl_name(self.kcl_count), version);
            let worker = KclWorker::start(&self.with.checker, name, &self.kcl_peers, &mut self.random);
            self.kcl.push(worker);
        } else if !self.kcl.is_empty() {
            let index = self.random.usize(0..self.kcl.len());
            let worker = self.kcl.swap_remove(index);
            let is_crash = !self.plan.is_clean && self.random.bool();
            let note = if is_crash { "crashed" } else { "stop requested" };
            self.with.checker.note(Some(&worker.name), None, note.to_owned());
            if !is_crash {
                worker.stop().await;
            }
        }
    }

    pub(super) async fn stop_kcl(&mut self) {
        for worker in self.kcl.drain(..) {
            self.with.checker.note(Some(&worker.name), None, "stop requested".to_owned());
            worker.stop().await;
        }
    }

    /// Deletes the stream and creates another one of the same name. From now on nothing may be read until an operator has
    /// removed the rows.
    pub(super) fn replace_stream(&mut self) {
        let checker = self.with.checker.clone();
        let rows = checker.leases.leases();
        // Rows of a KCL do not say to which stream they belong.
        if self.repair_at.is_some() || rows.is_empty() || rows.iter().any(|row| row.stream_created.is_none()) {
            return;
        }
        // Two streams cannot be created within the same millisecond.
        checker.stream.recreate(self.random.u32(1..=4));
        checker.with(|state| state.ledger.replaced(checker.stream.identity().created));
        checker.note(None, None, "stream deleted and created again".to_owned());
        self.expects_gap = false;
        self.repair_at = Some(Instant::now() + Duration::from_secs(self.random.u64(5..25)));
    }

    pub(super) async fn repair_if_due(&mut self) -> Result<(), String> {
        match self.repair_at {
            Some(at) if Instant::now() >= at => self.repair().await,
            _ => Ok(()),
        }
    }

    /// An operator stops all workers, waits for writes that are on their way, and removes the rows.
    pub(super) async fn repair(&mut self) -> Result<(), String> {
        while !self.running.is_empty() {
            self.stop_one(0, false).await?;
        }
        sleep(self.plan.lease).await;
        let checker = self.with.checker.clone();
        for row in checker.leases.leases() {
            checker.leases.delete(&row.shard);
        }
        checker.with(super::checker::State::rows_removed);
        checker.note(None, None, "the operator removed all leases".to_owned());
        self.repair_at = None;
        self.start();
        Ok(())
    }
}
