//! What every `LeaseStore` must do.

use super::service::{LEASE, Service, TABLE, new_lease, position, seen, shard, worker};
use bindd::aws::lease_table::LeaseTable;
use bindd::domain::{
    Checkpoint, FailureKind, LeaseCounter, LeaseGrant, LeaseStore, NewLease, Renewed, ResetPosition, SentinelCheckpoint,
};
use bindd::testing::lease_store_contract;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn the_contract_of_every_lease_store_holds() {
    let service = Service::start().await;
    let number = AtomicUsize::new(0);
    lease_store_contract(|| {
        let name = format!("{TABLE}-{}", number.fetch_add(1, Ordering::SeqCst));
        let store: Arc<dyn LeaseStore> = Arc::new(LeaseTable::new(&service.connection, name, LEASE));
        std::future::ready(store)
    })
    .await;
}

async fn taken(store: &LeaseTable, number: u8, name: &str) -> LeaseGrant {
    store.take(&seen(store, number).await, &worker(name)).await.unwrap()
}

fn after(sequence: &str) -> Checkpoint {
    Checkpoint::After(position(sequence, 0))
}

#[tokio::test]
async fn preparing_twice_is_harmless_and_two_may_do_it_at_once() {
    let service = Service::start().await;
    let (one, two) = (service.leases(), service.leases());
    let (one, _two) = tokio::join!(one, two);
    one.prepare().await.unwrap();
    assert_eq!(one.list().await.unwrap(), []);
}

#[tokio::test]
async fn creating_leaves_what_exists_as_it_is() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let grant = taken(&store, 0, "w1").await;
    store.create_missing(&(0..30).map(new_lease).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(store.list().await.unwrap().len(), 30);
    assert_eq!(&seen(&store, 0).await, grant.lease());
}

#[tokio::test]
async fn every_page_of_the_table_is_listed() {
    let service = Service::start().await;
    let store = service.leases().await;
    let parents: Vec<_> = (0..250).map(shard).collect();
    let large = |number| NewLease { parents: parents.clone(), ..new_lease(number) };
    store.create_missing(&(0..250).map(large).collect::<Vec<_>>()).await.unwrap();
    let page = service.client.scan().table_name(TABLE).send().await.unwrap();
    assert!(page.last_evaluated_key().is_some(), "the rows were meant to fill more than one page");
    assert_eq!(store.list().await.unwrap().len(), 250);
}

#[tokio::test]
async fn of_two_takers_one_wins() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let lease = seen(&store, 0).await;
    let (one, two) = (worker("w1"), worker("w2"));
    let (first, second) = tokio::join!(store.take(&lease, &one), store.take(&lease, &two));
    assert!(first.is_ok() != second.is_ok());
    assert!(first.err().or(second.err()).unwrap().is_lost());
}

#[tokio::test]
async fn a_renewal_moves_the_counter_and_fails_once_another_took_the_lease() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut old = taken(&store, 0, "w1").await;
    assert_eq!(store.renew(&mut old).await.unwrap(), Renewed::Held);
    assert_eq!(old.lease().counter, LeaseCounter::new(2));
    let mut new = taken(&store, 0, "w2").await;
    assert!(store.renew(&mut old).await.unwrap_err().is_lost());
    assert!(store.checkpoint(&mut old, &after("5")).await.unwrap_err().is_lost());
    assert!(store.release(old).await.unwrap_err().is_lost());
    assert_eq!(store.renew(&mut new).await.unwrap(), Renewed::Held);
    assert_eq!(seen(&store, 0).await, *new.lease());
}

#[tokio::test]
async fn a_checkpoint_is_stored_and_renews() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut grant = taken(&store, 0, "w1").await;
    let far = Checkpoint::After(position("49680426342680233918481274342206517448651633367906779138", 7));
    store.checkpoint(&mut grant, &far).await.unwrap();
    let lease = seen(&store, 0).await;
    assert_eq!((&lease.checkpoint, lease.counter), (&far, LeaseCounter::new(2)));
    assert_eq!(*grant.lease(), lease);
}

#[tokio::test]
async fn progress_never_goes_back() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut grant = taken(&store, 0, "w1").await;
    store.checkpoint(&mut grant, &after("10")).await.unwrap();
    let before = Checkpoint::After(position("9", 3));
    for back in [before, Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon)] {
        let error = store.checkpoint(&mut grant, &back).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
    }
    assert_eq!(seen(&store, 0).await.checkpoint, after("10"));
    store.checkpoint(&mut grant, &after("10")).await.unwrap();
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.unwrap();
    assert!(store.checkpoint(&mut grant, &after("11")).await.is_err());
    assert!(seen(&store, 0).await.checkpoint.is_ended());
}

#[tokio::test]
async fn a_handoff_lets_the_old_owner_drain_and_then_gives_the_lease_to_the_asker() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut old = taken(&store, 0, "w1").await;
    store.request_handoff(&seen(&store, 0).await, &worker("w2")).await.unwrap();
    let requested = seen(&store, 0).await;
    assert_eq!((requested.owner.clone(), requested.handoff_from.clone()), (Some(worker("w2")), Some(worker("w1"))));
    assert_eq!(requested.counter, old.lease().counter, "the owner must be able to go on renewing");
    assert!(store.request_handoff(&requested, &worker("w3")).await.unwrap_err().is_lost());

    assert_eq!(store.renew(&mut old).await.unwrap(), Renewed::HandoffRequested);
    assert_eq!(store.renew(&mut old).await.unwrap(), Renewed::HandoffRequested);
    store.checkpoint(&mut old, &after("77")).await.unwrap();
    assert!(old.is_handed_off());
    let counter = old.lease().counter;
    store.release(old).await.unwrap();

    let released = seen(&store, 0).await;
    assert_eq!((released.owner.clone(), released.handoff_from.clone()), (Some(worker("w2")), None));
    assert_eq!((released.counter, &released.checkpoint), (counter.next(), &after("77")));
    let mut new = store.take(&released, &worker("w2")).await.unwrap();
    assert_eq!(store.renew(&mut new).await.unwrap(), Renewed::Held);
}

#[tokio::test]
async fn a_handoff_requested_just_before_a_checkpoint_or_a_release_is_honoured() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut old = taken(&store, 0, "w1").await;
    store.request_handoff(&seen(&store, 0).await, &worker("w2")).await.unwrap();
    store.checkpoint(&mut old, &after("5")).await.unwrap();
    assert!(old.is_handed_off());
    store.release(old).await.unwrap();
    let mut new = taken(&store, 0, "w2").await;
    store.request_handoff(new.lease(), &worker("w3")).await.unwrap();
    assert!(!new.is_handed_off());
    store.store_children(&mut new, &[shard(1)]).await.unwrap();
    store.release(new).await.unwrap();
    let lease = seen(&store, 0).await;
    assert_eq!((lease.owner, lease.handoff_from), (Some(worker("w3")), None));
}

#[tokio::test]
async fn a_handoff_needs_an_owner_that_is_another() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    assert!(store.request_handoff(&seen(&store, 0).await, &worker("w2")).await.unwrap_err().is_lost());
    let grant = taken(&store, 0, "w2").await;
    assert!(store.request_handoff(grant.lease(), &worker("w2")).await.unwrap_err().is_lost());
    let stale = grant.lease().clone();
    store.release(grant).await.unwrap();
    assert!(store.request_handoff(&stale, &worker("w3")).await.unwrap_err().is_lost());
}

#[tokio::test]
async fn an_expired_lease_is_taken_in_spite_of_a_handoff_and_ends_it() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut old = taken(&store, 0, "w1").await;
    store.request_handoff(&seen(&store, 0).await, &worker("w2")).await.unwrap();
    let new = taken(&store, 0, "w3").await;
    assert_eq!(new.lease().handoff_from, None);
    assert!(store.renew(&mut old).await.unwrap_err().is_lost());
    assert!(store.release(old).await.unwrap_err().is_lost());
}

#[tokio::test]
async fn a_released_lease_has_no_owner_and_keeps_its_progress() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut grant = taken(&store, 0, "w1").await;
    store.checkpoint(&mut grant, &after("5")).await.unwrap();
    store.release(grant).await.unwrap();
    let lease = seen(&store, 0).await;
    assert_eq!((lease.owner, lease.counter, lease.checkpoint), (None, LeaseCounter::new(3), after("5")));
}

#[tokio::test]
async fn children_are_noted_without_moving_the_counter() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut grant = taken(&store, 0, "w1").await;
    store.store_children(&mut grant, &[shard(3), shard(2)]).await.unwrap();
    store.store_children(&mut grant, &[]).await.unwrap();
    let lease = seen(&store, 0).await;
    assert_eq!((lease.children.len(), lease.counter), (2, LeaseCounter::new(1)));
    assert_eq!(store.renew(&mut grant).await.unwrap(), Renewed::Held);
}

#[tokio::test]
async fn only_an_ended_lease_that_did_not_change_is_removed() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut grant = taken(&store, 0, "w1").await;
    assert!(store.remove(grant.lease()).await.unwrap_err().is_lost());
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.unwrap();
    let ended = grant.lease().clone();
    store.renew(&mut grant).await.unwrap();
    assert!(store.remove(&ended).await.unwrap_err().is_lost());
    store.remove(grant.lease()).await.unwrap();
    assert_eq!(store.list().await.unwrap(), []);
    store.remove(grant.lease()).await.unwrap();
    assert!(store.renew(&mut grant).await.unwrap_err().is_lost());
    assert!(store.store_children(&mut grant, &[shard(1)]).await.unwrap_err().is_lost());
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_counts_as_done() {
    let service = Service::start().await;
    let store = service.leases().await;
    let losing = || service.lose_next_reply();
    store.create_missing(&[new_lease(0)]).await.unwrap();
    let free = seen(&store, 0).await;
    losing();
    let mut grant = store.take(&free, &worker("w1")).await.unwrap();
    losing();
    assert_eq!(store.renew(&mut grant).await.unwrap(), Renewed::Held);
    losing();
    store.checkpoint(&mut grant, &after("5")).await.unwrap();
    losing();
    let start = ResetPosition::TrimHorizon;
    store.reset(&mut grant, start).await.unwrap();
    losing();
    store.store_children(&mut grant, &[shard(1)]).await.unwrap();
    losing();
    store.request_handoff(&seen_behind(&service).await, &worker("w2")).await.unwrap();
    losing();
    store.release(grant).await.unwrap();
    assert!(service.has_lost_a_reply());
    let mut grant = taken(&store, 0, "w2").await;
    store.checkpoint(&mut grant, &Checkpoint::Ended).await.unwrap();
    losing();
    store.remove(grant.lease()).await.unwrap();
    assert_eq!(store.list().await.unwrap(), []);
}

/// The lease as another worker would see it, without using up the loss.
async fn seen_behind(service: &Service) -> bindd::domain::Lease {
    let direct = LeaseTable::new(&service.straight().await, TABLE.to_owned(), LEASE);
    seen(&direct, 0).await
}

#[tokio::test]
async fn a_grant_whose_renewal_was_stored_unnoticed_goes_on() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut grant = taken(&store, 0, "w1").await;
    service.set(shard(0).as_str(), "leaseCounter", aws_sdk_dynamodb::types::AttributeValue::N("2".into())).await;
    store.checkpoint(&mut grant, &after("5")).await.unwrap();
    assert_eq!(grant.lease().counter, LeaseCounter::new(3));
    service.set(shard(0).as_str(), "leaseCounter", aws_sdk_dynamodb::types::AttributeValue::N("4".into())).await;
    store.release(grant).await.unwrap();
    assert_eq!(seen(&store, 0).await.owner, None);
}

#[tokio::test]
async fn a_table_that_went_away_is_told_and_is_not_a_lost_lease() {
    let service = Service::start().await;
    let store = service.one_lease().await;
    let mut grant = taken(&store, 0, "w1").await;
    service.client.delete_table().table_name(TABLE).send().await.unwrap();
    let error = store.renew(&mut grant).await.unwrap_err();
    assert_eq!((error.kind(), error.is_lost()), (FailureKind::NotFound, false));
    assert_eq!(store.list().await.unwrap_err().kind(), FailureKind::NotFound);
}
