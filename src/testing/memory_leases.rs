//! A lease store in memory, with the same conditional writes as the real table.

use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseCounter, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ResetPosition,
    ShardId, WorkerId, is_released, is_requested, is_reserved, is_taken,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Clones share the table.
#[derive(Debug, Clone, Default)]
pub struct MemoryLeaseStore {
    // A lock and not an owner task, because tests read the table from synchronous code too.
    rows: Arc<Mutex<BTreeMap<ShardId, Lease>>>,
}

impl MemoryLeaseStore {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn lease(&self, shard: &ShardId) -> Option<Lease> {
        self.with(|rows| rows.get(shard).cloned())
    }

    /// All leases, by shard.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        self.with(|rows| rows.values().cloned().collect())
    }

    /// Writes a row without a condition, as an operator may do.
    pub fn put(&self, lease: Lease) {
        self.with(|rows| drop(rows.insert(lease.shard.clone(), lease)));
    }

    /// Deletes a row without a condition, as an operator may do.
    pub fn delete(&self, shard: &ShardId) {
        self.with(|rows| drop(rows.remove(shard)));
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<ShardId, Lease>) -> T) -> T {
        change(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the row of a grant if its counter is that of the grant, or was moved by an earlier write of the grant.
    fn write(&self, grant: &mut LeaseGrant, change: impl FnOnce(&mut Lease)) -> Result<(), LeaseError> {
        self.with(|rows| {
            let Some(row) = rows.get_mut(grant.shard()) else { return Err(lost(grant.shard())) };
            if (row.counter != grant.lease().counter || !row.is_held_by(grant.worker()))
                && !grant.adopt(Some(row.clone()))
            {
                return Err(lost(grant.shard()));
            }
            row.counter = row.counter.next();
            change(row);
            grant.stored(row.clone());
            Ok(())
        })
    }
}

#[async_trait]
impl LeaseStore for MemoryLeaseStore {
    async fn prepare(&self) -> Result<(), LeaseError> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        Ok(self.leases())
    }

    async fn create_missing(&self, leases: &[NewLease]) -> Result<(), LeaseError> {
        self.with(|rows| {
            for new in leases {
                rows.entry(new.shard.clone()).or_insert_with(|| fresh(new));
            }
        });
        Ok(())
    }

    async fn take(&self, seen: &Lease, worker: &WorkerId) -> Result<LeaseGrant, LeaseError> {
        self.with(|rows| {
            let is_takeable = |row: &&mut Lease| row.counter == seen.counter || is_taken(row, seen, worker);
            let row = rows.get_mut(&seen.shard).filter(is_takeable).ok_or_else(|| lost(&seen.shard))?;
            row.counter = row.counter.next();
            row.owner = Some(worker.clone());
            row.handoff_from = None;
            row.stream = seen.stream.clone().or(row.stream.take());
            row.stream_created = seen.stream_created.or(row.stream_created);
            row.start_at = seen.start_at.or(row.start_at);
            row.owner_duration = seen.owner_duration;
            Ok(LeaseGrant::taken(row.clone(), worker.clone()))
        })
    }

    async fn request_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let Some(owner) = seen.owner.as_ref().filter(|owner| *owner != worker) else { return Err(lost(&seen.shard)) };
        self.with(|rows| {
            let row = rows.get_mut(&seen.shard).ok_or_else(|| lost(&seen.shard))?;
            if is_requested(row, owner, worker) {
                return Ok(());
            }
            if row.owner.as_ref() != Some(owner) || row.handoff_from.is_some() {
                return Err(lost(&seen.shard));
            }
            row.handoff_from = row.owner.replace(worker.clone());
            Ok(())
        })
    }

    async fn withdraw(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        let Some(owner) = seen.owner.as_ref().filter(|owner| *owner != worker) else { return Ok(()) };
        self.with(|rows| {
            let Some(row) = rows.get_mut(&seen.shard) else { return };
            if is_requested(row, owner, worker) {
                row.owner = row.handoff_from.take();
            } else if is_reserved(row, worker) {
                row.owner = None;
                row.counter = row.counter.next();
            }
        });
        Ok(())
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        let caught_up = grant.caught_up();
        self.write(grant, |row| row.caught_up = caught_up.or(row.caught_up))?;
        Ok(if grant.is_handed_off() { Renewed::HandoffRequested } else { Renewed::Held })
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let stored = grant.lease().checkpoint.clone();
        if *checkpoint != stored && !checkpoint.is_beyond(&stored) {
            return Err(LeaseError::Unavailable {
                doing: format!("storing the progress of {}", grant.shard()),
                kind: FailureKind::Caller,
                source: format!("{checkpoint:?} is not beyond {stored:?}").into(),
            });
        }
        grant.attempting(checkpoint);
        let caught_up = grant.caught_up();
        self.write(grant, |row| {
            row.checkpoint = checkpoint.clone();
            row.caught_up = caught_up.or(row.caught_up);
        })
    }

    async fn reset(&self, grant: &mut LeaseGrant, start: ResetPosition) -> Result<(), LeaseError> {
        if grant.lease().checkpoint.is_ended() {
            return Err(LeaseError::Unavailable {
                doing: format!("resetting the progress of {}", grant.shard()),
                kind: FailureKind::Caller,
                source: "the shard has ended".into(),
            });
        }
        let checkpoint = start.checkpoint();
        grant.attempting(&checkpoint);
        self.write(grant, |row| {
            row.checkpoint = checkpoint;
            row.start_at = start.start_at().or(row.start_at);
            row.caught_up = None;
        })
    }

    async fn store_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        if children.is_empty() {
            return Ok(());
        }
        self.with(|rows| {
            let row = rows.get_mut(grant.shard()).ok_or_else(|| lost(grant.shard()))?;
            row.children = children.to_vec();
            grant.stored(Lease { children: children.to_vec(), ..grant.lease().clone() });
            Ok(())
        })
    }

    async fn release(&self, mut grant: LeaseGrant) -> Result<(), LeaseError> {
        let is_done = |row: &Lease| is_released(row, &grant);
        if self.with(|rows| rows.get(grant.shard()).is_some_and(is_done)) {
            return Ok(());
        }
        self.write(&mut grant, |row| {
            if row.handoff_from.take().is_none() {
                row.owner = None;
            }
        })
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        self.with(|rows| {
            let is_removable = |row: &Lease| row.checkpoint.is_ended() || (row.is_new() && row.stream == seen.stream);
            let is_same = rows.get(&seen.shard).is_some_and(|row| row.counter == seen.counter && is_removable(row));
            let removed = if is_same { rows.remove(&seen.shard) } else { None };
            // An earlier attempt, or another worker, may have removed it.
            if removed.is_some() || !rows.contains_key(&seen.shard) { Ok(()) } else { Err(lost(&seen.shard)) }
        })
    }
}

fn lost(shard: &ShardId) -> LeaseError {
    LeaseError::Lost { shard: shard.clone() }
}

fn fresh(new: &NewLease) -> Lease {
    Lease {
        shard: new.shard.clone(),
        owner: None,
        handoff_from: None,
        counter: LeaseCounter::new(0),
        checkpoint: new.checkpoint.clone(),
        parents: new.parents.clone(),
        children: Vec::new(),
        hash_range: new.hash_range,
        start_at: new.start_at,
        stream: new.stream.clone(),
        stream_created: new.stream_created,
        caught_up: None,
        owner_duration: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_store_fulfils_the_contract() {
        super::super::lease_store_contract(|| async { Arc::new(MemoryLeaseStore::new()) as Arc<dyn LeaseStore> }).await;
    }
}
