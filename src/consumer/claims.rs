//! Handoffs that this worker has requested and not received yet. Pure.
//!
//! A claim that is not followed by a take is withdrawn: otherwise the old owner would drain for a worker that is gone, and
//! the lease would be reserved for it until it expires.

use super::lease_scan::{Change, ChangeKind, ChangeResult, LeaseChange};
use crate::domain::{Lease, ShardId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
struct Claim {
    /// The lease as it was before.
    seen: Lease,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Claims {
    worker: WorkerId,
    /// How long an owner may take to hand a lease over.
    limit: Duration,
    claims: BTreeMap<ShardId, Claim>,
}

impl Claims {
    pub(super) const fn new(worker: WorkerId, limit: Duration) -> Self {
        Self { worker, limit, claims: BTreeMap::new() }
    }

    /// Records a change that was made. A call that failed may have taken effect.
    pub(super) fn changed(&mut self, change: &Change, now: Instant) {
        let Some(seen) = &change.lease else { return };
        let is_claim = match (change.kind, &change.result) {
            (ChangeKind::RequestHandoff, ChangeResult::Done | ChangeResult::Failed(_)) => true,
            (ChangeKind::Take | ChangeKind::Withdraw, ChangeResult::Failed(_)) => true,
            (_, _) => false,
        };
        if is_claim {
            self.claims.insert(seen.shard.clone(), Claim { seen: seen.clone(), since: now });
        } else {
            self.claims.remove(&seen.shard);
        }
    }

    /// Compares the claims with a scan that began at `begun`. Returns the changes for those that the owner did not fulfil in
    /// time.
    pub(super) fn overdue(&mut self, leases: &[Lease], begun: Instant, now: Instant) -> Vec<LeaseChange> {
        let worker = &self.worker;
        let claimed: BTreeSet<&ShardId> =
            leases.iter().filter(|lease| lease.owner.as_ref() == Some(worker)).map(|lease| &lease.shard).collect();
        // An older scan does not show the claim yet.
        self.claims.retain(|shard, claim| claim.since >= begun || claimed.contains(shard));
        let overdue = self.claims.values().filter(|claim| now >= claim.since + self.limit);
        overdue.map(|claim| LeaseChange::Withdraw(claim.seen.clone())).collect()
    }

    /// The changes that give up all claims, for a worker that stops.
    pub(super) fn withdraw_all(&mut self) -> Vec<LeaseChange> {
        std::mem::take(&mut self.claims).into_values().map(|claim| LeaseChange::Withdraw(claim.seen)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::tests::lease;
    use crate::domain::LeaseError;

    const LIMIT: Duration = Duration::from_secs(40);

    fn change(kind: ChangeKind, result: ChangeResult) -> Change {
        Change { kind, lease: Some(lease(0, Some("other"), 1)), result }
    }

    fn requested() -> Lease {
        Lease { handoff_from: Some(WorkerId::new("other")), ..lease(0, Some("me"), 1) }
    }

    fn withdrawal() -> Vec<LeaseChange> {
        vec![LeaseChange::Withdraw(lease(0, Some("other"), 1))]
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_fulfilled_in_time_is_withdrawn() {
        let (mut claims, now) = (Claims::new(WorkerId::new("me"), LIMIT), Instant::now());
        claims.changed(&change(ChangeKind::RequestHandoff, ChangeResult::Done), now);
        assert_eq!(claims.overdue(&[requested()], now + LIMIT / 2, now + LIMIT - Duration::from_millis(1)), []);
        assert_eq!(claims.overdue(&[requested()], now + LIMIT, now + LIMIT), withdrawal());
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_another_worker_overtook_is_forgotten_but_not_by_an_older_scan() {
        let (mut claims, now) = (Claims::new(WorkerId::new("me"), LIMIT), Instant::now());
        claims.changed(&change(ChangeKind::RequestHandoff, ChangeResult::Done), now);
        let other = [lease(0, Some("third"), 3)];
        claims.overdue(&other, now - Duration::from_secs(1), now);
        assert_eq!(claims.overdue(&[requested()], now + LIMIT, now + LIMIT), withdrawal());
        claims.overdue(&other, now + Duration::from_secs(1), now + Duration::from_secs(1));
        assert_eq!(claims.withdraw_all(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_stops_withdraws_what_it_may_have_claimed() {
        let now = Instant::now();
        let unknown = || ChangeResult::Failed(LeaseError::Unusable { reason: "on purpose".to_owned() });
        for (kind, result, is_claim) in [
            (ChangeKind::RequestHandoff, ChangeResult::Done, true),
            (ChangeKind::RequestHandoff, unknown(), true),
            (ChangeKind::RequestHandoff, ChangeResult::Lost, false),
            (ChangeKind::Take, unknown(), true),
            (ChangeKind::Take, ChangeResult::Lost, false),
            (ChangeKind::Withdraw, ChangeResult::Done, false),
        ] {
            let mut claims = Claims::new(WorkerId::new("me"), LIMIT);
            claims.changed(&change(kind, result), now);
            let expected = if is_claim { withdrawal() } else { Vec::new() };
            assert_eq!(claims.withdraw_all(), expected, "{kind:?}");
        }
    }
}
