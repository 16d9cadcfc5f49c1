//! The lease table as all workers share it. Checks every write when it takes effect.

use super::checker::{Checker, Session, State};
use super::clock::WorkerClock;
use super::kcl_table::is_kcl;
use super::story::What;
use async_trait::async_trait;
use bindd::domain::{
    Checkpoint, Lease, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ResetPosition, ShardId, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// The table as one worker sees it, whose clock measures the lease durations.
#[derive(Debug)]
pub(crate) struct CheckedLeases {
    pub(crate) checker: Checker,
    pub(crate) clock: WorkerClock,
}

impl CheckedLeases {
    /// Compares a row before and after a write that took effect.
    fn changed(&self, kind: &'static str, worker: &WorkerId, before: Option<&Lease>, shard: &ShardId) {
        let after = self.checker.leases.lease(shard);
        self.checker.with(|state| state.row_changed(kind, worker, before, after.as_ref()));
    }
}

impl State {
    pub(crate) fn row_changed(
        &mut self,
        kind: &'static str,
        worker: &WorkerId,
        before: Option<&Lease>,
        after: Option<&Lease>,
    ) {
        let Some(row) = after.or(before) else { return };
        let shard = &row.shard;
        let handoff = row.handoff_from.as_ref().map(|from| format!(", handed over by {from}")).unwrap_or_default();
        let owner = row.owner.as_ref().map_or("none", WorkerId::as_str);
        let checkpoint = row.checkpoint.position().map_or_else(|| format!("{:?}", row.checkpoint), ToString::to_string);
        let more = format!(", checkpoint {checkpoint}, owner {owner}{handoff}");
        self.story.tell(Some(worker), Some(shard), None, What::Row(kind, row.counter, more));
        if before.is_none_or(|before| before.counter != row.counter) {
            self.moved.insert(shard.clone(), Instant::now());
            self.moved_by.insert((worker.clone(), shard.clone()), Instant::now());
        }
        let Some((before, after)) = before.zip(after) else { return };
        if let Some(text) = self.row_violation(before, after) {
            self.report(format!("{worker} {kind} {shard}: {text}"), Some(shard), Vec::new());
        }
    }

    fn row_violation(&mut self, before: &Lease, after: &Lease) -> Option<String> {
        if after.counter < before.counter || after.counter > before.counter.next() {
            return Some(format!("the counter went from {} to {}", before.counter.value(), after.counter.value()));
        }
        if after.checkpoint == before.checkpoint {
            return None;
        }
        if !after.checkpoint.is_beyond(&before.checkpoint) {
            return Some(format!("the checkpoint went back from {:?} to {:?}", before.checkpoint, after.checkpoint));
        }
        let missing = match &after.checkpoint {
            Checkpoint::NotStarted(_) => None,
            Checkpoint::After(position) => self.missing(&after.shard, Some(position)),
            Checkpoint::Ended if !self.ledger.is_current(after) => None,
            Checkpoint::Ended => self.missing(&after.shard, None),
        };
        missing.map(|missing| format!("stored {:?} before {missing} was accepted", after.checkpoint))
    }

    fn taken(&mut self, grant: &LeaseGrant) {
        let (lease, worker) = (grant.lease(), grant.worker().clone());
        let session = Session {
            worker: worker.clone(),
            start: lease.checkpoint.position().cloned(),
            done: BTreeSet::new(),
            held: BTreeMap::new(),
            held_bytes: 0,
        };
        self.current.insert((worker, lease.shard.clone()), lease.counter);
        self.sessions.insert((lease.shard.clone(), lease.counter), session);
    }
}

#[async_trait]
impl LeaseStore for CheckedLeases {
    async fn prepare(&self) -> Result<(), LeaseError> {
        self.checker.leases.prepare().await
    }

    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        let mut rows = self.checker.leases.list().await?;
        for row in &mut rows {
            let holder = row.handoff_from.as_ref().or(row.owner.as_ref());
            // A KCL stores none, and what an earlier owner stored is not that of the KCL.
            let duration = row.owner_duration.filter(|_| holder.is_none_or(|holder| !is_kcl(holder)));
            row.owner_duration = duration.map(|duration| self.clock.lasts(duration));
        }
        Ok(rows)
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        for new in leases {
            let is_missing = self.checker.leases.lease(&new.shard).is_none();
            self.checker.leases.create_missing(std::slice::from_ref(new)).await?;
            if is_missing {
                self.changed("created", &WorkerId::new("-"), None, &new.shard);
            }
        }
        Ok(())
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        let before = self.checker.leases.lease(&seen.shard);
        let lease = self.checker.with(|state| state.plan.lease);
        let seen = &Lease { owner_duration: seen.owner_duration.map(|_| lease), ..seen.clone() };
        let grant = self.checker.leases.take(seen, worker).await?;
        self.checker.with(|state| {
            if before.as_ref().and_then(|row| row.owner.as_ref()).is_some_and(is_kcl) {
                state.hard_taken.insert(seen.shard.clone());
            }
            state.taken(&grant);
        });
        self.changed("taken", worker, before.as_ref(), &seen.shard);
        Ok(grant)
    }

    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let before = self.checker.leases.lease(&seen.shard);
        self.checker.leases.request_handoff(seen, worker).await?;
        self.changed("handoff requested", worker, before.as_ref(), &seen.shard);
        Ok(())
    }

    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let before = self.checker.leases.lease(&seen.shard);
        self.checker.leases.withdraw(seen, worker).await?;
        self.changed("handoff withdrawn", worker, before.as_ref(), &seen.shard);
        Ok(())
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        let before = self.checker.leases.lease(grant.shard());
        let renewed = self.checker.leases.renew(grant).await?;
        self.changed("renewed", grant.worker(), before.as_ref(), grant.shard());
        Ok(renewed)
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let before = self.checker.leases.lease(grant.shard());
        self.checker.leases.checkpoint(grant, checkpoint).await?;
        self.changed("checkpointed", grant.worker(), before.as_ref(), grant.shard());
        Ok(())
    }

    async fn reset(&self, grant: &mut LeaseGrant, start: ResetPosition) -> Result<(), LeaseError> {
        let before = self.checker.leases.lease(grant.shard());
        self.checker.leases.reset(grant, start).await?;
        self.changed("reset", grant.worker(), before.as_ref(), grant.shard());
        Ok(())
    }

    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        let before = self.checker.leases.lease(grant.shard());
        self.checker.leases.store_children(grant, children).await?;
        self.changed("children stored", grant.worker(), before.as_ref(), grant.shard());
        Ok(())
    }

    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError> {
        let before = self.checker.leases.lease(grant.shard());
        let (worker, shard) = (grant.worker().clone(), grant.shard().clone());
        self.checker.leases.release(grant).await?;
        self.changed("released", &worker, before.as_ref(), &shard);
        Ok(())
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        let before = self.checker.leases.lease(&seen.shard);
        self.checker.leases.remove(seen).await?;
        self.changed("removed", &WorkerId::new("-"), before.as_ref(), &seen.shard);
        Ok(())
    }
}
