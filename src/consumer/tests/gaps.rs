//! Whether records may have aged out unread: a quiet shard is not mistaken for one with a gap.

use super::super::progress::Progress;
use super::super::renewer_task::RenewerEvent;
use super::super::retention::StreamTime;
use super::super::settings::{OnGap, OnInvalidCheckpoint, WallClock};
use super::super::shard_consumer::ShardConsumer;
use super::super::shard_end::ListedShard;
use super::super::shard_events::{Effect, Event};
use super::super::shard_reader::{Finding, ReadState, Reading, ShardReader};
use super::{Bench, ConsumerSettings, after, lease, shard};
use crate::consumer::delivery::Delivered;
use crate::domain::{
    Checkpoint, Fetched, Lease, Record, RecordBatch, RecordPosition, ResetPosition, RetrievalError, StartingPosition,
    Timestamp,
};
use std::time::Duration;
use tokio::time::Instant;

const HOUR: i64 = 3_600_000;
/// When each test begins.
const START: i64 = 1_000 * HOUR;

/// A reader whose lease was accepted up to record 5, and how far it was read by time.
struct Shard {
    reader: ShardReader,
    progress: Progress,
    now: i64,
}

impl Shard {
    fn new(caught_up: Option<i64>, on_gap: OnGap) -> Self {
        let settings = ConsumerSettings { on_gap, ..Bench::settings("a") };
        let caught_up = caught_up.map(Timestamp::from_millis);
        let reader = ShardReader::new(&Lease { checkpoint: after(5), caught_up, ..lease(0, Some("a"), 1) }, &settings);
        Self { reader, progress: Progress::default(), now: START }
    }

    fn time(&self) -> StreamTime {
        StreamTime { now: Timestamp::from_millis(self.now), retention: Some(Duration::from_secs(86_400)) }
    }

    fn call(&mut self) -> Option<Effect> {
        let now = Timestamp::from_millis(self.now);
        self.reader.next_call(&mut self.progress, now)
    }

    fn open(&mut self) {
        let expected = StartingPosition::At("5".parse().unwrap());
        assert_eq!(self.call(), Some(Effect::Open { position: expected, after: Duration::ZERO }));
        self.reader.opened();
    }

    /// Reads these records at the tip of the shard. Returns those that are new.
    fn read(&mut self, numbers: &[u128]) -> (usize, Option<Finding>) {
        self.read_behind(numbers, Some(Duration::ZERO))
    }

    fn read_behind(&mut self, numbers: &[u128], behind: Option<Duration>) -> (usize, Option<Finding>) {
        assert!(matches!(self.call(), Some(Effect::Fetch { .. })), "{:?}", self.reader.state);
        let records: Vec<Record> = numbers.iter().map(|number| record(*number)).collect();
        let batch = RecordBatch { records, behind, gap: None };
        let at = self.time();
        let (records, finding) = self.reader.fetched(batch, &self.progress, at);
        for record in &records {
            let index = self.progress.push(record.position.clone());
            self.progress.accept(index);
        }
        (records.len(), finding)
    }

    fn read_until(&self) -> Option<i64> {
        self.reader.read_until().map(Timestamp::as_millis)
    }
}

fn record(number: u128) -> Record {
    Record {
        position: RecordPosition::plain(number.to_string().parse().unwrap()),
        partition_key: "key".into(),
        data: bytes::Bytes::from_static(b"x"),
        arrival: None,
        is_damaged_aggregate: false,
        is_filtered: false,
        decompressed: None,
    }
}

#[test]
fn a_shard_that_was_quiet_for_longer_than_the_retention_has_no_gap_while_it_was_read() {
    let mut shard = Shard::new(Some(START - HOUR), OnGap::Halt);
    shard.open();
    assert_eq!(shard.read(&[9]), (1, None), "record 5 aged out, and nothing came after it for days");
}

#[test]
fn a_shard_that_was_not_read_for_longer_than_the_retention_may_have_a_gap() {
    for caught_up in [None, Some(START - 24 * HOUR)] {
        let mut shard = Shard::new(caught_up, OnGap::Continue);
        shard.open();
        assert_eq!(shard.read(&[9]), (1, Some(Finding::Gap)), "{caught_up:?}");
        let mut shard = Shard::new(caught_up, OnGap::Halt);
        shard.open();
        assert_eq!(shard.read(&[9]), (0, Some(Finding::Gap)));
        assert_eq!(shard.reader.state, ReadState::Halted);
        assert_eq!(shard.read_until(), caught_up, "a restart must find the gap again");
    }
}

#[test]
fn reads_without_records_do_not_hide_a_gap_before_them() {
    let mut shard = Shard::new(Some(START - 24 * HOUR), OnGap::Continue);
    shard.open();
    assert_eq!(shard.read(&[]), (0, None));
    shard.now += 5 * HOUR;
    assert_eq!(shard.read(&[9]), (1, Some(Finding::Gap)));
    assert_eq!(shard.read_until(), Some(START + 5 * HOUR));
}

#[test]
fn only_reads_at_the_tip_move_the_time_until_which_all_was_read() {
    let mut shard = Shard::new(None, OnGap::Continue);
    shard.open();
    assert_eq!(shard.read_behind(&[5, 6], Some(Duration::from_secs(1))), (1, None));
    assert_eq!(shard.read_until(), None);
    assert_eq!(shard.read_behind(&[7], None), (1, None));
    assert_eq!(shard.read_until(), None, "the service did not report how far it is");
    shard.now += HOUR;
    assert_eq!(shard.read(&[]), (0, None));
    assert_eq!(shard.read_until(), Some(START + HOUR));
}

#[test]
fn a_shard_that_is_opened_again_after_days_of_silence_has_no_gap() {
    let mut shard = Shard::new(None, OnGap::Halt);
    shard.open();
    assert_eq!(shard.read(&[5]), (0, None));
    shard.now += 30 * HOUR;
    assert_eq!(shard.read(&[]), (0, None));
    shard.now += HOUR;
    let error = RetrievalError::Unavailable {
        doing: "reading".to_owned(),
        kind: crate::domain::FailureKind::Transient,
        source: "closed".into(),
    };
    assert_eq!(shard.reader.failed(&error, &shard.progress), Reading::Continues);
    assert!(matches!(shard.call(), Some(Effect::Open { .. })));
    shard.reader.opened();
    assert_eq!(shard.read(&[9]), (1, None));
}

#[test]
fn the_end_of_a_shard_without_its_last_record_is_a_gap_only_after_the_retention() {
    for (caught_up, finding) in [(START - HOUR, None), (START - 25 * HOUR, Some(Finding::Gap))] {
        let mut shard_of = Shard::new(Some(caught_up), OnGap::Continue);
        shard_of.open();
        shard_of.call();
        let at = shard_of.time();
        assert_eq!(shard_of.reader.end_signalled(vec![shard(1)], at).1, finding);
    }
}

fn fetched(numbers: &[u128]) -> Event {
    let records = numbers.iter().map(|number| record(*number)).collect();
    Event::Fetched(Ok(Fetched::Batch(RecordBatch { records, behind: Some(Duration::ZERO), gap: None })))
}

#[test]
fn what_was_read_counts_only_once_it_was_accepted() {
    let (bench, now) = (Bench::new(1), Instant::now());
    let clock = WallClock::new(|| Timestamp::from_millis(START));
    let settings = ConsumerSettings { clock, ..Bench::settings("a") };
    let mut consumer = ShardConsumer::new(&lease(0, Some("a"), 1), &settings, bench.metrics.input("orders"));
    consumer.apply(Event::Woke, now);
    consumer.apply(Event::Opened(Ok(())), now);
    assert_eq!(consumer.caught_up(), None);
    consumer.apply(fetched(&[1, 2]), now);
    assert_eq!(consumer.caught_up(), None);
    consumer.apply(Event::Delivered(Delivered::Done(vec![1])), now);
    assert_eq!(consumer.caught_up(), None, "the first record is not accepted");
    consumer.apply(Event::Delivered(Delivered::Done(vec![0])), now);
    assert_eq!(consumer.caught_up(), Some(Timestamp::from_millis(START)));
}

/// The position of the lease is unknown to the stream, and is reset.
fn reset(settings: &ConsumerSettings, bench: &Bench, now: Instant) -> (ShardConsumer, Vec<Effect>) {
    let lease =
        Lease { checkpoint: after(50), caught_up: Some(Timestamp::from_millis(START)), ..lease(0, Some("a"), 1) };
    let mut consumer = ShardConsumer::new(&lease, settings, bench.metrics.input("orders"));
    consumer.apply(Event::Woke, now);
    let error = RetrievalError::InvalidPosition { shard: shard(0), source: "unknown".into() };
    assert_eq!(consumer.apply(Event::Opened(Err(error)), now), [Effect::ListShards]);
    let effects = consumer.apply(Event::Listed(ListedShard::Open), now);
    (consumer, effects)
}

#[test]
fn a_reset_to_latest_stores_the_time_at_which_it_begins_to_read() {
    let (bench, now) = (Bench::new(1), Instant::now());
    let settings = ConsumerSettings { on_invalid_checkpoint: OnInvalidCheckpoint::Latest, ..Bench::settings("a") };
    settings.stream_state.mark_started(now);
    settings.stream_state.latest_start(Timestamp::from_millis(START), now);
    let (mut consumer, effects) = reset(&settings, &bench, now);
    let [Effect::StoreReset(ResetPosition::Latest(stored)), Effect::Open { position, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(*position, StartingPosition::AtTimestamp(*stored));
    assert_eq!(stored.as_millis(), START - 1_000, "the time of Kinesis, less the margin");
    assert_eq!(consumer.caught_up(), None, "what is read again may age out");
}

#[test]
fn a_checkpoint_that_was_sent_before_a_reset_does_not_hide_progress_after_it() {
    let (bench, now) = (Bench::new(1), Instant::now());
    let (mut consumer, _) = reset(&Bench::settings("a"), &bench, now);
    let stored = |checkpoint| Event::Renewer(RenewerEvent::Stored(checkpoint));
    consumer.apply(Event::Opened(Ok(())), now);
    consumer.apply(stored(after(50)), now);
    consumer.apply(fetched(&[1, 2]), now);
    let effects = consumer.apply(Event::Delivered(Delivered::Done(vec![0])), now);
    assert!(effects.contains(&Effect::Progress(after(1))), "{effects:?}");
    let start: Checkpoint = ResetPosition::TrimHorizon.checkpoint();
    consumer.apply(stored(start), now);
    consumer.apply(stored(after(1)), now);
    let effects = consumer.apply(Event::Delivered(Delivered::Done(vec![1])), now);
    assert!(effects.contains(&Effect::Progress(after(2))), "{effects:?}");
}

/// Reads two records, is quiet, stops; then the records age out and another one arrives.
async fn restarted_after(quiet: Duration, stopped: Duration) -> Bench {
    let bench = Bench::new(1);
    bench.stream.set_retention(Duration::from_secs(3_600));
    let settings = || {
        let stream = bench.stream.clone();
        ConsumerSettings { clock: WallClock::new(move || stream.now()), ..Bench::settings("a") }
    };
    bench.put(2);
    let (stop, mut worker) = bench.start(settings());
    bench.app.until_accepted(2).await;
    tokio::time::sleep(quiet).await;
    stop.finish();
    worker.next().await.unwrap().result.unwrap().unwrap();
    bench.stream.trim(&shard(0), 2);
    tokio::time::sleep(stopped).await;
    bench.put(1);
    let (_stop, _worker) = bench.start(settings());
    bench.app.until_accepted(3).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_restart_on_a_quiet_shard_reports_no_gap() {
    let bench = restarted_after(Duration::from_secs(4_000), Duration::from_secs(60)).await;
    assert!(!bench.counted("retention_gaps"));
    let caught_up = bench.leases.lease(&shard(0)).unwrap().caught_up;
    assert!(caught_up.is_some_and(|moment| moment.as_millis() < bench.stream.now().as_millis() - 60_000));
}

#[tokio::test(start_paused = true)]
async fn a_restart_after_the_retention_reports_a_gap() {
    let bench = restarted_after(Duration::from_secs(60), Duration::from_secs(4_000)).await;
    assert!(bench.counted("retention_gaps"));
}
