use super::*;
use crate::domain::{Checkpoint, LeaseCounter, SentinelCheckpoint, Shard};
use std::time::Duration;

fn identity(created: Option<i64>) -> StreamIdentity {
    StreamIdentity { stream: "orders".into(), created: created.map(Timestamp::from_millis) }
}

fn lease(shard: &str, checkpoint: Checkpoint) -> Lease {
    Lease {
        shard: ShardId::new(shard),
        owner: None,
        handoff_from: None,
        counter: LeaseCounter::new(0),
        checkpoint,
        parents: Vec::new(),
        children: Vec::new(),
        hash_range: None,
        start_at: None,
        stream: None,
        stream_created: None,
        caught_up: None,
        owner_duration: None,
    }
}

const OPEN: Checkpoint = Checkpoint::NotStarted(SentinelCheckpoint::Latest);
const LISTED: Timestamp = Timestamp::from_millis(1_000_000);

#[tokio::test(start_paused = true)]
async fn latest_begins_at_the_first_start_by_the_clock_of_kinesis() {
    let (stream_state, first) = (StreamState::default(), Instant::now());
    stream_state.mark_started(first);
    stream_state.mark_started(first + Duration::from_secs(30));
    stream_state.leases_verified(&identity(Some(5)));
    // 40 s passed since the first start when the listing came, and there is a margin of one second.
    let start = stream_state.latest_start(LISTED, first + Duration::from_secs(40));
    assert_eq!(start, LatestStart::Moment(Timestamp::from_millis(959_000)));
    // A later listing, whose clock may differ, does not move it.
    let later = stream_state.latest_start(Timestamp::from_millis(2_000_000), first + Duration::from_secs(900));
    assert_eq!(later, start);
}

#[tokio::test(start_paused = true)]
async fn a_stream_created_after_the_first_start_is_read_from_its_creation() {
    for (created, was_missing, expected) in [
        (Some(959_000), false, LatestStart::Creation),
        (Some(958_999), false, LatestStart::Moment(Timestamp::from_millis(959_000))),
        (None, false, LatestStart::Moment(Timestamp::from_millis(959_000))),
        // The time of creation may be denied, or come from a clock that is late.
        (None, true, LatestStart::Creation),
        (Some(958_000), true, LatestStart::Creation),
    ] {
        let (stream_state, first) = (StreamState::default(), Instant::now());
        stream_state.mark_started(first);
        if was_missing {
            stream_state.stream_missing();
        }
        stream_state.leases_verified(&identity(created));
        let start = stream_state.latest_start(LISTED, first + Duration::from_secs(40));
        assert_eq!(start, expected, "{created:?} {was_missing}");
    }
}

#[test]
fn rows_that_are_gone_are_missing_until_their_shards_are_gone() {
    let stream_state = StreamState::default();
    stream_state.record_leases(&[lease("a", OPEN), lease("b", OPEN), lease("c", Checkpoint::Ended)]);
    let missing = |leases: &[Lease]| -> Vec<String> {
        stream_state.missing_from(leases).iter().map(|lease| lease.shard.to_string()).collect()
    };
    assert_eq!(missing(&[lease("a", OPEN)]), ["b"], "the row of an ended shard may go");
    stream_state.record_leases(&[lease("a", OPEN)]);
    assert_eq!(missing(&[]), ["a", "b"]);
    stream_state.shard_ended(&ShardId::new("a"));
    assert_eq!(missing(&[]), ["b"]);
    let shard = Shard { id: ShardId::new("a"), parents: Vec::new(), hash_range: None, is_open: true };
    stream_state.retain_listed(&ShardListing { shards: vec![shard], listed_at: LISTED });
    assert_eq!(missing(&[]), [""; 0]);
}

#[test]
fn after_the_stream_was_replaced_no_lease_is_restored() {
    let stream_state = StreamState::default();
    stream_state.leases_verified(&identity(Some(1)));
    stream_state.record_leases(&[lease("a", OPEN)]);
    stream_state.leases_verified(&identity(None));
    stream_state.leases_verified(&identity(Some(1)));
    assert_eq!(stream_state.missing_from(&[]).len(), 1, "what is denied for a while changes nothing");
    stream_state.leases_verified(&identity(Some(2)));
    assert!(stream_state.missing_from(&[]).is_empty());
    assert_eq!(stream_state.latest_start(LISTED, Instant::now()), LatestStart::Creation);
}

#[test]
fn a_refusal_lasts_until_the_leases_belong_to_the_stream() {
    let stream_state = StreamState::default();
    stream_state.refuse("another stream".to_owned());
    assert_eq!(stream_state.refusal().as_deref(), Some("another stream"));
    stream_state.leases_verified(&identity(Some(1)));
    assert_eq!(stream_state.refusal(), None);
}
