use super::*;
use crate::domain::{FailureKind, SentinelCheckpoint};
use crate::telemetry::Metrics;

const ID: &str = "shardId-0";

fn start() -> Checkpoint {
    Checkpoint::NotStarted(SentinelCheckpoint::TrimHorizon)
}

fn worker() -> WorkerId {
    WorkerId::new("me")
}

fn failed(kind: FailureKind) -> RetrievalError {
    RetrievalError::Unavailable { doing: "reading".to_owned(), kind, source: "denied".into() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn lease(shard: &str, owner: Option<&str>, handoff_from: Option<&str>) -> Lease {
    Lease {
        shard: ShardId::new(shard),
        owner: owner.map(WorkerId::new),
        handoff_from: handoff_from.map(WorkerId::new),
        counter: LeaseCounter::new(1),
        checkpoint: start(),
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

#[test]
fn lag_grows_while_a_shard_cannot_be_read_or_delivered() {
    let (status, state, now) = (InputStatus::default(), StreamState::default(), Instant::now());
    let cell = status.add(&ShardId::new(ID), LeaseCounter::new(1), &start());
    let lag = |after| {
        let shards = status.shards(&state, &worker(), now + seconds(after));
        shards[0].held.as_ref().unwrap().lag.as_secs()
    };
    cell.read_succeeded(Some(seconds(2)));
    assert_eq!(lag(100), 2);
    cell.read_failed(&failed(FailureKind::Denied), now);
    cell.read_failed(&failed(FailureKind::Denied), now + seconds(50));
    assert_eq!(lag(100), 102);
    cell.read_succeeded(Some(Duration::ZERO));
    for (at, behind, expected) in [(0, 0, 100), (0, 7, 107), (60, 0, 40)] {
        cell.set_unaccepted(Some(ReadTime { at: now + seconds(at), behind: seconds(behind) }));
        assert_eq!(lag(100), expected, "the first record that is not accepted was read after {at} s");
    }
    cell.set_unaccepted(None);
    assert_eq!(lag(100), 0);
    cell.read_began(now);
    assert_eq!((lag(40), lag(100)), (0, 100), "a read that never returns");
    cell.read_succeeded(Some(Duration::ZERO));
    cell.reading_halted(now);
    assert_eq!(lag(10), 10);
    drop(cell);
    assert!(status.shards(&state, &worker(), now).is_empty());
}

#[test]
fn without_its_lease_table_an_input_has_no_shard_and_its_lag_grows() {
    let (status, state, now, metrics) =
        (InputStatus::default(), StreamState::default(), Instant::now(), Metrics::new());
    let lag = |after| {
        status.update(&metrics.input("orders"), now + seconds(after));
        metrics.input("orders").lag()
    };
    state.record_leases(&[lease("a", Some("me"), None)]);
    let shown = &status.shards(&state, &worker(), now)[0];
    assert_eq!((&shown.owner, shown.held.is_some()), (&None, false), "its own lease has expired");
    status.call_failed("leases could not be scanned", "timed out".to_owned(), now);
    assert_eq!(lag(40), seconds(40));
    let cell = status.add(&ShardId::new(ID), LeaseCounter::new(1), &start());
    assert_eq!(lag(40), Duration::ZERO, "a shard that is held is read");
    drop(cell);
    status.call_succeeded("leases could not be scanned");
    assert_eq!(lag(40), Duration::ZERO);
}

#[test]
fn shards_of_all_workers_are_reported_with_their_owners() {
    let (status, state, now) = (InputStatus::default(), StreamState::default(), Instant::now());
    state.record_leases(&[
        lease("a", Some("me"), None),
        lease("b", Some("you"), None),
        lease("c", Some("you"), Some("me")),
        lease("d", None, None),
    ]);
    let _held: Vec<_> = ["a", "c", "e"]
        .map(|shard| status.add(&ShardId::new(shard), LeaseCounter::new(7), &start()))
        .into_iter()
        .collect();
    let shards = status.shards(&state, &worker(), now);
    let shown: Vec<_> = shards
        .iter()
        .map(|shard| {
            let name = |worker: &Option<WorkerId>| worker.as_ref().map(|worker| worker.as_str().to_owned());
            (shard.shard.as_str(), name(&shard.owner), name(&shard.next_owner), shard.held.is_some())
        })
        .collect();
    let (me, you) = (|| Some("me".to_owned()), || Some("you".to_owned()));
    assert_eq!(
        shown,
        [
            ("a", me(), None, true),
            ("b", you(), None, false),
            ("c", me(), you(), true),
            ("d", None, None, false),
            ("e", me(), None, true),
        ]
    );
}

#[test]
fn an_input_is_unhealthy_after_no_shard_could_be_read_for_a_minute() {
    let (status, now) = (InputStatus::default(), Instant::now());
    assert_eq!(status.refusal(now), None, "without shards");
    let cells = ["a", "b"].map(|shard| status.add(&ShardId::new(shard), LeaseCounter::new(1), &start()));
    cells[0].read_failed(&failed(FailureKind::Denied), now);
    assert_eq!(status.refusal(now + seconds(100)), None, "the other shard is read");
    cells[1].read_failed(&failed(FailureKind::Throttled), now + seconds(40));
    cells[1].read_failed(&failed(FailureKind::Transient), now + seconds(99));
    assert_eq!(status.refusal(now + seconds(100)), None, "not for longer than a minute");
    assert_eq!(status.refusal(now + seconds(101)).as_deref(), Some("reading: denied"), "also if it may be over soon");
    cells[0].read_succeeded(None);
    assert_eq!(status.refusal(now + seconds(120)), None);
    status.call_failed("leases could not be scanned", "throttled".to_owned(), now);
    let why = "leases could not be scanned for 120 s: throttled";
    assert_eq!(status.refusal(now + seconds(120)).as_deref(), Some(why));
    status.call_succeeded("leases could not be scanned");
    assert_eq!(status.refusal(now + seconds(120)), None);
}

#[test]
fn a_shard_whose_delivery_is_halted_is_shown_as_halted() {
    let (status, state, now) = (InputStatus::default(), StreamState::default(), Instant::now());
    let cell = status.add(&ShardId::new(ID), LeaseCounter::new(1), &start());
    let shown = || status.shards(&state, &worker(), now)[0].held.as_ref().unwrap().state;
    cell.read_succeeded(None);
    assert_eq!(shown(), ShardState::Reading);
    cell.delivery().set(DeliveryCounts { is_halted: true, ..DeliveryCounts::default() });
    assert_eq!(shown(), ShardState::Halted);
    cell.set_state(ShardState::Draining);
    assert_eq!(shown(), ShardState::Draining);
}

#[test]
fn an_error_is_shown_in_bounded_length_and_with_its_age() {
    let (status, state, now) = (InputStatus::default(), StreamState::default(), Instant::now());
    let cell = status.add(&ShardId::new(ID), LeaseCounter::new(1), &start());
    cell.delivery().failed(&"ä".repeat(100_000), now);
    let shards = status.shards(&state, &worker(), now + seconds(3));
    let error = shards[0].held.as_ref().unwrap().last_error.clone().unwrap();
    assert_eq!((error.message.chars().count(), error.age), (MAX_ERROR_CHARS, seconds(3)));
}

#[test]
fn the_metrics_are_the_sums_of_all_shards() {
    let (status, now, metrics) = (InputStatus::default(), Instant::now(), Metrics::new());
    let cells = ["a", "b"].map(|shard| status.add(&ShardId::new(shard), LeaseCounter::new(1), &start()));
    for cell in &cells {
        cell.delivery().set(DeliveryCounts { parked: 2, in_flight: 3, buffered_bytes: 50, is_halted: false });
        cell.set_buffered(5);
    }
    cells[0].set_state(ShardState::Halted);
    let page = || {
        status.update(&metrics.input("orders"), now);
        metrics.page().unwrap()
    };
    let before = page();
    for line in [
        r#"bindd_input_parked_keys{component="orders"} 4"#,
        r#"bindd_input_in_flight{component="orders"} 6"#,
        r#"bindd_input_buffered_bytes{component="orders"} 100"#,
        r#"bindd_input_buffered_records{component="orders"} 10"#,
        r#"bindd_input_shards{component="orders",state="halted"} 1"#,
        r#"bindd_input_shards{component="orders",state="starting"} 1"#,
    ] {
        assert!(before.contains(line), "{line} is not in {before}");
    }
    drop(cells);
    assert!(page().contains(r#"bindd_input_shards{component="orders",state="halted"} 0"#));
}

#[test]
fn each_state_is_counted_under_its_own_word() {
    let (status, now, metrics) = (InputStatus::default(), Instant::now(), Metrics::new());
    let cell = status.add(&ShardId::new(ID), LeaseCounter::new(1), &start());
    for state in ShardState::ALL {
        cell.set_state(state);
        status.update(&metrics.input("orders"), now);
        let page = metrics.page().unwrap();
        let counted: Vec<_> =
            page.lines().filter(|line| line.starts_with("bindd_input_shards{") && line.ends_with(" 1")).collect();
        assert_eq!(counted, [format!(r#"bindd_input_shards{{component="orders",state="{}"}} 1"#, state.as_str())]);
    }
}
