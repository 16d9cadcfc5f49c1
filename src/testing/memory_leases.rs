//! A lease store in memory, with the same conditional writes as the real table.

use crate::domain::{
    Checkpoint, FailureKind, Lease, LeaseCounter, LeaseError, LeaseGrant, LeaseStore, NewLease, Renewed, ShardId,
    WorkerId,
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

    /// Changes the row of a grant if its counter is that of the grant.
    fn write(&self, grant: &LeaseGrant, change: impl FnOnce(&mut Lease)) -> Result<Lease, LeaseError> {
        self.with(|rows| {
            let row = rows.get_mut(grant.shard()).filter(|row| row.counter == grant.lease().counter);
            let row = row.ok_or_else(|| lost(grant.shard()))?;
            row.counter = row.counter.next();
            change(row);
            Ok(row.clone())
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
            let row = rows.get_mut(&seen.shard).filter(|row| row.counter == seen.counter);
            let row = row.ok_or_else(|| lost(&seen.shard))?;
            row.counter = row.counter.next();
            row.owner = Some(worker.clone());
            row.handoff_from = None;
            (row.stream, row.stream_created) = (seen.stream.clone(), seen.stream_created);
            row.start_at = seen.start_at;
            Ok(LeaseGrant::taken(row.clone(), worker.clone()))
        })
    }

    async fn ask_handoff(&self, seen: &Lease, worker: &WorkerId) -> Result<(), LeaseError> {
        self.with(|rows| {
            let is_unchanged =
                |row: &&mut Lease| row.owner == seen.owner && row.owner.is_some() && row.handoff_from.is_none();
            let row = rows.get_mut(&seen.shard).filter(is_unchanged).ok_or_else(|| lost(&seen.shard))?;
            row.handoff_from = row.owner.replace(worker.clone());
            Ok(())
        })
    }

    async fn renew(&self, grant: &mut LeaseGrant) -> Result<Renewed, LeaseError> {
        let row = self.write(grant, |_| {})?;
        grant.stored(row);
        Ok(if grant.is_handed_off() { Renewed::HandoffAsked } else { Renewed::Held })
    }

    async fn checkpoint(&self, grant: &mut LeaseGrant, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        if !checkpoint.is_beyond(&grant.lease().checkpoint) {
            return Err(LeaseError::Unavailable {
                doing: format!("storing the progress of {}", grant.shard()),
                kind: FailureKind::Caller,
                source: format!("{checkpoint:?} is not beyond {:?}", grant.lease().checkpoint).into(),
            });
        }
        let row = self.write(grant, |row| row.checkpoint = checkpoint.clone())?;
        grant.stored(row);
        Ok(())
    }

    async fn note_children(&self, grant: &mut LeaseGrant, children: &[ShardId]) -> Result<(), LeaseError> {
        let row = self.with(|rows| {
            let row = rows.get_mut(grant.shard()).filter(|row| row.counter == grant.lease().counter)?;
            row.children = children.to_vec();
            Some(row.clone())
        });
        grant.stored(row.ok_or_else(|| lost(grant.shard()))?);
        Ok(())
    }

    async fn release(&self, grant: LeaseGrant) -> Result<(), LeaseError> {
        let worker = grant.worker().clone();
        self.write(&grant, |row| match row.handoff_from.take() {
            Some(_) => {}
            None if row.owner.as_ref() == Some(&worker) => row.owner = None,
            None => {}
        })?;
        Ok(())
    }

    async fn remove(&self, seen: &Lease) -> Result<(), LeaseError> {
        self.with(|rows| {
            let is_same =
                rows.get(&seen.shard).is_some_and(|row| row.counter == seen.counter && row.checkpoint.is_ended());
            let removed = if is_same { rows.remove(&seen.shard) } else { None };
            removed.map(drop).ok_or_else(|| lost(&seen.shard))
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
