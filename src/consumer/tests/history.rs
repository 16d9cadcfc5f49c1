use super::*;
use crate::domain::{Checkpoint, LeaseCounter, Shard, StartWord};
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
    }
}

const OPEN: Checkpoint = Checkpoint::NotStarted(StartWord::Latest);
const LISTED: Timestamp = Timestamp::from_millis(1_000_000);

#[tokio::test(start_paused = true)]
async fn latest_begins_at_the_first_try_by_the_clock_of_the_service() {
    let (history, first) = (StreamHistory::default(), Instant::now());
    history.begin(first);
    history.begin(first + Duration::from_secs(30));
    history.accepted(&identity(Some(5)));
    // 40 s passed since the first try when the listing came, and there is a margin of one second.
    let start = history.latest_start(LISTED, first + Duration::from_secs(40));
    assert_eq!(start, LatestStart::Moment(Timestamp::from_millis(959_000)));
    // A later listing, whose clock may differ, does not move it.
    let later = history.latest_start(Timestamp::from_millis(2_000_000), first + Duration::from_secs(900));
    assert_eq!(later, start);
}

#[tokio::test(start_paused = true)]
async fn a_stream_created_after_the_first_try_is_read_from_its_creation() {
    for (created, was_missing, expected) in [
        (Some(959_000), false, LatestStart::Creation),
        (Some(958_999), false, LatestStart::Moment(Timestamp::from_millis(959_000))),
        (None, false, LatestStart::Moment(Timestamp::from_millis(959_000))),
        // The time of creation may be denied, or come from a clock that is late.
        (None, true, LatestStart::Creation),
        (Some(958_000), true, LatestStart::Creation),
    ] {
        let (history, first) = (StreamHistory::default(), Instant::now());
        history.begin(first);
        if was_missing {
            history.stream_missing();
        }
        history.accepted(&identity(created));
        let start = history.latest_start(LISTED, first + Duration::from_secs(40));
        assert_eq!(start, expected, "{created:?} {was_missing}");
    }
}

#[test]
fn rows_that_are_gone_are_missing_until_their_shards_are_gone() {
    let history = StreamHistory::default();
    history.remember(&[lease("a", OPEN), lease("b", OPEN), lease("c", Checkpoint::Ended)]);
    let missing = |leases: &[Lease]| -> Vec<String> {
        history.missing_from(leases).iter().map(|lease| lease.shard.to_string()).collect()
    };
    assert_eq!(missing(&[lease("a", OPEN)]), ["b"], "the row of an ended shard may go");
    history.remember(&[lease("a", OPEN)]);
    assert_eq!(missing(&[]), ["a", "b"]);
    history.ended(&ShardId::new("a"));
    assert_eq!(missing(&[]), ["b"]);
    let shard = Shard { id: ShardId::new("a"), parents: Vec::new(), hash_range: None, is_open: true };
    history.listed(&ShardListing { shards: vec![shard], listed_at: LISTED });
    assert_eq!(missing(&[]), [""; 0]);
}

#[test]
fn another_stream_of_the_same_name_leaves_nothing_to_restore() {
    let history = StreamHistory::default();
    history.accepted(&identity(Some(1)));
    history.remember(&[lease("a", OPEN)]);
    history.accepted(&identity(None));
    history.accepted(&identity(Some(1)));
    assert_eq!(history.missing_from(&[]).len(), 1, "what is denied for a while changes nothing");
    history.accepted(&identity(Some(2)));
    assert!(history.missing_from(&[]).is_empty());
    assert_eq!(history.latest_start(LISTED, Instant::now()), LatestStart::Creation);
}

#[test]
fn a_refusal_lasts_until_the_leases_are_those_of_the_stream() {
    let history = StreamHistory::default();
    history.refuse("another stream".to_owned());
    assert_eq!(history.refusal().as_deref(), Some("another stream"));
    history.accepted(&identity(Some(1)));
    assert_eq!(history.refusal(), None);
}
