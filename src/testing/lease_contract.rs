//! The contract of lease stores, as a test suite that runs against each of them.
#![expect(clippy::expect_used, clippy::panic, reason = "this is a test suite that lives outside cfg(test)")]

use crate::domain::{
    Checkpoint, Lease, LeaseGrant, LeaseStore, NewLease, RecordPosition, Renewed, ResetPosition, SentinelCheckpoint,
    ShardId, Timestamp, WorkerId,
};
use std::sync::Arc;

/// Runs the suite. `fresh` returns an empty store at each call.
///
/// # Panics
/// When the store breaks the contract.
pub async fn lease_store_contract<F>(fresh: impl Fn() -> F)
where
    F: Future<Output = Arc<dyn LeaseStore>>,
{
    creates_only_what_is_missing(&*fresh().await).await;
    takes_under_a_condition(&*fresh().await).await;
    renews_until_lost(&*fresh().await).await;
    hands_over(&*fresh().await).await;
    checkpoints_never_go_back(&*fresh().await).await;
    stores_until_when_all_was_accepted(&*fresh().await).await;
    a_reset_is_stored_and_progress_goes_on_from_it(&*fresh().await).await;
    releases(&*fresh().await).await;
    stores_children_and_removes(&*fresh().await).await;
    removes_what_was_never_taken(&*fresh().await).await;
    dates_no_renewal_by_an_earlier_write(&*fresh().await).await;
    takes_again_after_an_unnoticed_take(&*fresh().await).await;
    does_not_adopt_a_foreign_checkpoint(&*fresh().await).await;
    withdraws(&*fresh().await).await;
    repeats_what_is_done(&*fresh().await).await;
}

fn shard() -> ShardId {
    ShardId::new("shardId-000000000001")
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name)
}

fn after(sequence: &str, sub_sequence: u64) -> Checkpoint {
    let sequence = sequence.parse().expect("digits");
    Checkpoint::After(RecordPosition { sequence, sub_sequence })
}

fn new_lease() -> NewLease {
    NewLease {
        shard: shard(),
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::Latest),
        start_at: Some(Timestamp::from_millis(1_700_000_000_123)),
        parents: vec![ShardId::new("shardId-000000000000")],
        hash_range: None,
        stream: Some("orders".into()),
        stream_created: Some(Timestamp::from_millis(1_600_000_000_000)),
    }
}

async fn row(store: &dyn LeaseStore) -> Lease {
    let rows = store.list().await.expect("leases are listed");
    rows.into_iter().find(|row| row.shard == shard()).expect("the lease is there")
}

async fn taken(store: &dyn LeaseStore) -> LeaseGrant {
    store.prepare().await.expect("the store is prepared");
    store.create_missing(&[new_lease()]).await.expect("the lease is created");
    store.take(&row(store).await, &worker("a")).await.expect("a free lease is taken")
}

async fn creates_only_what_is_missing(store: &dyn LeaseStore) {
    store.prepare().await.expect("the store is prepared");
    store.prepare().await.expect("preparing twice is fine");
    assert!(store.list().await.expect("an empty store is listed").is_empty());
    store.create_missing(&[]).await.expect("creating nothing is fine");
    store.create_missing(&[new_lease()]).await.expect("the lease is created");
    let created = row(store).await;
    assert_eq!(created.checkpoint, Checkpoint::NotStarted(SentinelCheckpoint::Latest));
    assert_eq!((&created.owner, &created.handoff_from), (&None, &None));
    let new = new_lease();
    assert_eq!((&created.parents, created.start_at), (&new.parents, new.start_at));
    assert_eq!((&created.stream, created.stream_created), (&new.stream, new.stream_created));
    let mut grant = store.take(&created, &worker("a")).await.expect("a free lease is taken");
    store.checkpoint(&mut grant, &after("5", 0)).await.expect("progress is stored");
    let before = row(store).await;
    let other = NewLease {
        shard: ShardId::new("shardId-000000000002"),
        checkpoint: Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon),
        ..new_lease()
    };
    store.create_missing(&[new_lease(), other]).await.expect("the other lease is created");
    assert_eq!(row(store).await, before, "a lease that exists is not touched");
    assert_eq!(store.list().await.expect("leases are listed").len(), 2);
}

async fn takes_under_a_condition(store: &dyn LeaseStore) {
    store.prepare().await.expect("the store is prepared");
    store.create_missing(&[new_lease()]).await.expect("the lease is created");
    let seen = row(store).await;
    let grant = store.take(&seen, &worker("a")).await.expect("a free lease is taken");
    assert_eq!(grant.lease(), &row(store).await, "the grant knows the row as stored");
    assert_eq!((grant.worker(), &grant.lease().owner), (&worker("a"), &Some(worker("a"))));
    assert!(grant.lease().counter > seen.counter);
    assert_eq!(grant.lease().stream.as_deref(), Some("orders"));
    let late = store.take(&seen, &worker("b")).await.expect_err("a take with an old counter is rejected");
    assert!(late.is_lost(), "{late}");
    assert_eq!(row(store).await.owner, Some(worker("a")));
    let arn: Arc<str> = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders".into();
    let moment = Some(Timestamp::from_millis(1_700_000_000_000));
    let completed = Lease { stream: Some(arn.clone()), stream_created: moment, start_at: moment, ..row(store).await };
    let grant = store.take(&completed, &worker("b")).await.expect("a lease is taken");
    let stored = row(store).await;
    assert_eq!((&stored.stream, stored.stream_created, stored.start_at), (&Some(arn), moment, moment));
    assert_eq!(grant.lease(), &stored, "what the caller completed is stored with the take");
}

async fn renews_until_lost(store: &dyn LeaseStore) {
    let mut old = taken(store).await;
    let before = row(store).await.counter;
    assert_eq!(store.renew(&mut old).await.expect("a held lease is renewed"), Renewed::Held);
    assert_eq!(row(store).await.counter, before.next());
    let mut new = store.take(&row(store).await, &worker("b")).await.expect("an expired lease is taken");
    let errors = [
        store.renew(&mut old).await.expect_err("renewing a lost lease"),
        store.checkpoint(&mut old, &after("9", 0)).await.expect_err("checkpointing a lost lease"),
        store.reset(&mut old, ResetPosition::TrimHorizon).await.expect_err("resetting a lost lease"),
    ];
    assert!(errors.iter().all(crate::domain::LeaseError::is_lost), "{errors:?}");
    let stored = row(store).await;
    assert_eq!(
        (stored.owner, stored.checkpoint),
        (Some(worker("b")), Checkpoint::NotStarted(SentinelCheckpoint::Latest))
    );
    store.checkpoint(&mut new, &after("9", 0)).await.expect("the new owner stores progress");
}

async fn hands_over(store: &dyn LeaseStore) {
    let mut old = taken(store).await;
    store.request_handoff(&row(store).await, &worker("b")).await.expect("a handoff of a held lease can be requested");
    let requested = row(store).await;
    assert_eq!((&requested.owner, &requested.handoff_from), (&Some(worker("b")), &Some(worker("a"))));
    assert_eq!(requested.counter, old.lease().counter, "a request does not change the counter");
    let second = store.request_handoff(&requested, &worker("c")).await.expect_err("one handoff at a time");
    assert!(second.is_lost(), "{second}");
    assert_eq!(store.renew(&mut old).await.expect("the old owner drains"), Renewed::HandoffRequested);
    assert!(old.is_handed_off());
    store.checkpoint(&mut old, &after("7", 2)).await.expect("the old owner stores its progress");
    store.release(old).await.expect("the old owner releases");
    let free = row(store).await;
    assert_eq!((&free.owner, &free.handoff_from), (&Some(worker("b")), &None));
    let new = store.take(&free, &worker("b")).await.expect("the requesting worker takes it");
    assert_eq!(new.lease().checkpoint, after("7", 2));
}

async fn a_reset_is_stored_and_progress_goes_on_from_it(store: &dyn LeaseStore) {
    let mut grant = taken(store).await;
    store.checkpoint(&mut grant, &after("99", 3)).await.expect("progress is stored");
    let counter = row(store).await.counter;
    store.reset(&mut grant, ResetPosition::TrimHorizon).await.expect("the position is reset");
    let reset = row(store).await;
    assert_eq!(reset.checkpoint, Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon));
    assert_eq!(reset.counter, counter.next(), "a reset renews the lease");
    store.checkpoint(&mut grant, &after("5", 0)).await.expect("progress goes on from the reset");
    assert_eq!(row(store).await.checkpoint, after("5", 0));
    let moment = Timestamp::from_millis(1_700_000_009_000);
    store.reset(&mut grant, ResetPosition::Latest(moment)).await.expect("the position is reset");
    let reset = row(store).await;
    assert_eq!(reset.checkpoint, Checkpoint::NotStarted(SentinelCheckpoint::Latest));
    assert_eq!(reset.start_at, Some(moment), "a restart must begin at the same record");
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.expect("the shard ended");
    assert!(store.reset(&mut grant, ResetPosition::TrimHorizon).await.is_err(), "an end is never reset");
    assert_eq!(row(store).await.checkpoint, Checkpoint::Ended);
}

async fn stores_until_when_all_was_accepted(store: &dyn LeaseStore) {
    let mut grant = taken(store).await;
    let moment = |millis| Some(Timestamp::from_millis(millis));
    store.renew(&mut grant).await.expect("a held lease is renewed");
    assert_eq!(row(store).await.caught_up, None);
    grant.set_caught_up(moment(1_700_000_000_001));
    store.renew(&mut grant).await.expect("a held lease is renewed");
    assert_eq!(row(store).await.caught_up, moment(1_700_000_000_001));
    grant.set_caught_up(moment(1_700_000_000_002));
    store.checkpoint(&mut grant, &after("5", 0)).await.expect("progress is stored");
    assert_eq!(row(store).await.caught_up, moment(1_700_000_000_002));
    store.release(grant).await.expect("the lease is released");
    let mut grant = store.take(&row(store).await, &worker("b")).await.expect("a free lease is taken");
    assert_eq!(grant.lease().caught_up, moment(1_700_000_000_002), "the next owner knows it");
    store.renew(&mut grant).await.expect("a held lease is renewed");
    assert_eq!(row(store).await.caught_up, moment(1_700_000_000_002), "a write that does not know it leaves it");
    store.reset(&mut grant, ResetPosition::TrimHorizon).await.expect("the position is reset");
    assert_eq!(row(store).await.caught_up, None, "a reset reads records again that may age out");
}

async fn checkpoints_never_go_back(store: &dyn LeaseStore) {
    let mut grant = taken(store).await;
    store.checkpoint(&mut grant, &after("99", 3)).await.expect("progress is stored");
    for back in [after("99", 2), after("98", 9), after("9", 0), Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon)]
    {
        if store.checkpoint(&mut grant, &back).await.is_ok() {
            panic!("{back:?} was stored after 99/3");
        }
        assert_eq!(row(store).await.checkpoint, after("99", 3));
    }
    store.checkpoint(&mut grant, &after("100", 0)).await.expect("numbers are ordered as numbers");
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.expect("the shard ended");
    assert!(store.checkpoint(&mut grant, &after("101", 0)).await.is_err(), "nothing comes after the end");
    assert_eq!(row(store).await.checkpoint, Checkpoint::Ended);
}

async fn releases(store: &dyn LeaseStore) {
    let grant = taken(store).await;
    let before = row(store).await;
    store.release(grant).await.expect("a held lease is released");
    let free = row(store).await;
    assert_eq!(free.owner, None);
    assert!(free.counter > before.counter, "a release changes the counter");
    assert_eq!(free.checkpoint, before.checkpoint);
    let again = store.take(&free, &worker("b")).await.expect("a free lease is taken");
    assert_eq!(again.lease().owner, Some(worker("b")));
}

async fn stores_children_and_removes(store: &dyn LeaseStore) {
    let mut grant = taken(store).await;
    let children = [ShardId::new("shardId-000000000003"), ShardId::new("shardId-000000000004")];
    let counter = row(store).await.counter;
    store.store_children(&mut grant, &children).await.expect("children are stored");
    let stored = row(store).await;
    assert_eq!(stored.counter, counter, "storing children does not change the counter");
    assert_eq!(stored.children.iter().collect::<std::collections::BTreeSet<_>>(), children.iter().collect());
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.expect("the shard ended");
    let rejected = store.remove(&stored).await.expect_err("a lease that changed is not removed");
    assert!(rejected.is_lost(), "{rejected}");
    store.remove(&row(store).await).await.expect("an ended lease is removed");
    assert!(store.list().await.expect("leases are listed").is_empty());
}

async fn removes_what_was_never_taken(store: &dyn LeaseStore) {
    store.prepare().await.expect("the store is prepared");
    store.create_missing(&[new_lease()]).await.expect("the lease is created");
    let new = row(store).await;
    let of_other = Lease { stream: Some("invoices".into()), ..new.clone() };
    let rejected = store.remove(&of_other).await.expect_err("the lease of another stream stays");
    assert!(rejected.is_lost(), "{rejected}");
    store.remove(&new).await.expect("a lease that was never taken is removed");
    store.remove(&new).await.expect("a removal is repeated");
    assert!(store.list().await.expect("leases are listed").is_empty());
    let grant = taken(store).await;
    for seen in [&new, grant.lease()] {
        let rejected = store.remove(seen).await.expect_err("a lease that was taken stays");
        assert!(rejected.is_lost(), "{rejected}");
    }
    store.release(grant).await.expect("a held lease is released");
    assert!(store.remove(&row(store).await).await.is_err(), "a lease that was released stays");
}

/// Another grant for the same lease: what it writes is, for the first, an earlier write whose response was lost.
fn twin(grant: &LeaseGrant) -> LeaseGrant {
    LeaseGrant::taken(grant.lease().clone(), grant.worker().clone())
}

async fn dates_no_renewal_by_an_earlier_write(store: &dyn LeaseStore) {
    let mut grant = taken(store).await;
    for number in 0..2 {
        store.renew(&mut twin(&grant)).await.expect("the earlier write is stored");
        let moved = row(store).await.counter;
        if number == 0 {
            store.renew(&mut grant).await.expect("the lease is still held");
        } else {
            store.checkpoint(&mut grant, &after("5", 0)).await.expect("the lease is still held");
        }
        assert_eq!(row(store).await.counter, moved.next(), "the counter moves after the call began");
        assert_eq!(grant.lease(), &row(store).await);
    }
    grant.attempting(&after("6", 0));
    store.checkpoint(&mut twin(&grant), &after("6", 0)).await.expect("the earlier write is stored");
    let moved = row(store).await.counter;
    store.checkpoint(&mut grant, &after("6", 0)).await.expect("the same checkpoint is stored again");
    assert_eq!((row(store).await.counter, row(store).await.checkpoint), (moved.next(), after("6", 0)));
    let start = Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon);
    grant.attempting(&start);
    store.reset(&mut twin(&grant), ResetPosition::TrimHorizon).await.expect("the earlier write is stored");
    let moved = row(store).await.counter;
    store.reset(&mut grant, ResetPosition::TrimHorizon).await.expect("the same reset is stored again");
    assert_eq!((row(store).await.counter, row(store).await.checkpoint), (moved.next(), start));
    store.renew(&mut twin(&grant)).await.expect("the earlier write is stored");
    store.release(grant).await.expect("the lease is released");
    assert_eq!(row(store).await.owner, None);
}

async fn takes_again_after_an_unnoticed_take(store: &dyn LeaseStore) {
    store.prepare().await.expect("the store is prepared");
    store.create_missing(&[new_lease()]).await.expect("the lease is created");
    let seen = row(store).await;
    drop(store.take(&seen, &worker("a")).await.expect("a free lease is taken"));
    let grant = store.take(&seen, &worker("a")).await.expect("an earlier take of ours is continued");
    assert_eq!(grant.lease().counter, seen.counter.next().next(), "the counter moves after the call began");
    assert_eq!(grant.lease(), &row(store).await);
}

async fn does_not_adopt_a_foreign_checkpoint(store: &dyn LeaseStore) {
    let mut grant = taken(store).await;
    store.checkpoint(&mut grant, &after("5", 0)).await.expect("progress is stored");
    store.checkpoint(&mut twin(&grant), &after("50", 0)).await.expect("an operator moves the position");
    let error = store.renew(&mut grant).await.expect_err("the grant never sent this checkpoint");
    assert!(error.is_lost(), "{error}");
}

async fn withdraws(store: &dyn LeaseStore) {
    let mut old = taken(store).await;
    let before = row(store).await;
    store.request_handoff(&before, &worker("b")).await.expect("a handoff is requested");
    for _ in 0..2 {
        store.withdraw(&before, &worker("b")).await.expect("the request is withdrawn");
        assert_eq!(row(store).await, before, "the old owner keeps the lease, and the counter stays");
    }
    assert_eq!(store.renew(&mut old).await.expect("the lease is still held"), Renewed::Held);
    // The old owner drains, and the request is withdrawn before it releases.
    store.request_handoff(&row(store).await, &worker("b")).await.expect("a handoff is requested");
    assert_eq!(store.renew(&mut old).await.expect("the lease is still held"), Renewed::HandoffRequested);
    store.withdraw(&before, &worker("b")).await.expect("the request is withdrawn");
    store.release(old).await.expect("the old owner releases");
    assert_eq!(row(store).await.owner, None);
    // The old owner releases to the requesting worker, which then withdraws.
    let old = store.take(&row(store).await, &worker("a")).await.expect("a free lease is taken");
    let requested = row(store).await;
    store.request_handoff(&requested, &worker("b")).await.expect("a handoff is requested");
    let mut old = LeaseGrant::taken(old.lease().clone(), worker("a"));
    store.renew(&mut old).await.expect("the lease is still held");
    store.release(old).await.expect("the old owner releases");
    let reserved = row(store).await;
    assert_eq!(reserved.owner, Some(worker("b")));
    store.withdraw(&requested, &worker("b")).await.expect("the request is withdrawn");
    let free = row(store).await;
    assert_eq!((&free.owner, free.counter), (&None, reserved.counter.next()));
    // Nothing to withdraw.
    let other = store.take(&free, &worker("c")).await.expect("a free lease is taken");
    store.withdraw(&requested, &worker("b")).await.expect("there is nothing to withdraw");
    assert_eq!(&row(store).await, other.lease());
}

async fn repeats_what_is_done(store: &dyn LeaseStore) {
    let mut grant = taken(store).await;
    let before = row(store).await;
    for _ in 0..2 {
        store.request_handoff(&before, &worker("b")).await.expect("a request is repeated");
    }
    store.withdraw(&before, &worker("b")).await.expect("the request is withdrawn");
    let children = [ShardId::new("shardId-000000000003")];
    let mut lost = twin(&grant);
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.expect("the shard ended");
    store.store_children(&mut lost, &children).await.expect("the children of a shard need no lease");
    assert_eq!(row(store).await.children, children);
    let ended = row(store).await;
    for _ in 0..2 {
        store.remove(&ended).await.expect("a removal is repeated");
    }
}
