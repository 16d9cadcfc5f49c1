//! Another subscription to a shard replaces ours: the lease is verified before the shard is read again.

use super::super::renewer_task::RenewerEvent;
use super::super::shard_consumer::ShardConsumer;
use super::super::shard_events::{Effect, Event};
use super::{Bench, lease};
use crate::domain::{FailureKind, RetrievalError};
use tokio::time::Instant;

fn replaced() -> RetrievalError {
    let doing = "subscribing".to_owned();
    RetrievalError::Unavailable { doing, kind: FailureKind::Conflict, source: "ResourceInUse".into() }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_another_subscription_reads_is_opened_again_after_a_renewal() {
    let bench = Bench::new(1);
    let (settings, now) = (Bench::settings("a"), Instant::now());
    let mut consumer = ShardConsumer::new(&lease(0, Some("a"), 1), &settings, bench.metrics.input("orders"));
    assert!(matches!(consumer.apply(Event::Woke, now)[..], [Effect::Open { .. }]));
    consumer.apply(Event::Opened(Ok(())), now);
    assert_eq!(consumer.apply(Event::Fetched(Err(replaced())), now), [Effect::VerifyLease]);
    assert_eq!(consumer.apply(Event::Woke, now), [], "nothing is read before the lease is verified");
    assert!(matches!(consumer.apply(Event::Renewer(RenewerEvent::Verified), now)[..], [Effect::Open { .. }]));
}
