//! Workers of the KCL in the same table, and a stream that is created again under the same name.

use super::kcl::KclWorker;
use super::kcl_table::kcl_name;
use super::run::Run;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// At most so many workers of the KCL run.
const MAX_KCL: usize = 2;

/// What comes next of a stream that was deleted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Replacement {
    /// Another stream of the same name is created.
    CreatedAt(Instant),
    /// The operator removes the rows of the deleted stream.
    RepairedAt(Instant),
}

impl Replacement {
    const fn at(self) -> Instant {
        match self {
            Self::CreatedAt(at) | Self::RepairedAt(at) => at,
        }
    }
}

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

    /// Deletes the stream. Another one of the same name is created some seconds later.
    pub(super) fn delete_stream(&mut self) {
        let checker = self.with.checker.clone();
        let rows = checker.leases.leases();
        // Rows of a KCL do not say to which stream they belong.
        if self.replacement.is_some() || rows.is_empty() || rows.iter().any(|row| row.stream_created.is_none()) {
            return;
        }
        checker.stream.delete();
        checker.with(|state| state.ledger.stream_deleted());
        checker.note(None, None, "stream deleted".to_owned());
        self.expects_gap = false;
        // Kinesis needs longer, and a worker may rely on an identity of the stream that is two seconds old.
        let created_at = Instant::now() + Duration::from_secs(self.random.u64(3..10));
        self.replacement = Some(Replacement::CreatedAt(created_at));
    }

    /// What follows after [`Run::delete_stream`], when its time has come or when it must be `now`.
    pub(super) async fn continue_replacement(&mut self, now: bool) -> Result<(), String> {
        let is_due = |at: Instant| now || Instant::now() >= at;
        if let Some(Replacement::CreatedAt(_)) = self.replacement.filter(|replacement| is_due(replacement.at())) {
            let checker = self.with.checker.clone();
            checker.stream.recreate(self.random.u32(1..=4));
            checker.with(|state| state.ledger.stream_created(checker.stream.identity().created));
            checker.note(None, None, "stream created again".to_owned());
            // Until then nothing may be read.
            let repaired_at = Instant::now() + Duration::from_secs(self.random.u64(5..20));
            self.replacement = Some(Replacement::RepairedAt(repaired_at));
        }
        match self.replacement {
            Some(Replacement::RepairedAt(at)) if is_due(at) => self.remove_rows().await,
            _ => Ok(()),
        }
    }

    /// An operator stops all workers, waits for writes that are on their way, and removes the rows.
    async fn remove_rows(&mut self) -> Result<(), String> {
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
        self.replacement = None;
        self.start();
        Ok(())
    }
}
