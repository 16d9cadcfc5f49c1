use super::*;
use crate::domain::RecordPosition;
use bytes::Bytes;

fn number(text: &str) -> SequenceNumber {
    text.parse().unwrap()
}

fn after(text: &str) -> StartingPosition {
    StartingPosition::After(number(text))
}

fn records(sequences: &[&str]) -> Vec<Record> {
    let record = |sequence: &&str| Record {
        position: RecordPosition::plain(number(sequence)),
        partition_key: "k".into(),
        data: Bytes::new(),
        arrival: None,
        is_damaged_aggregate: false,
        is_filtered: false,
        decompressed: None,
    };
    sequences.iter().map(record).collect()
}

fn received(plan: &mut SubscriptionPlan, sequences: &[&str], continuation: &str, now: Instant) -> Option<RecordGap> {
    plan.received(&mut records(sequences), Some(number(continuation)), None, now)
}

#[test]
fn a_subscription_continues_after_the_continuation_number() {
    let (mut plan, now) = (SubscriptionPlan::new(StartingPosition::TrimHorizon), Instant::now());
    assert_eq!(plan.next_position(now), StartingPosition::TrimHorizon);
    received(&mut plan, &["7"], "9", now);
    assert_eq!(plan.next_position(now), after("9"));
    received(&mut plan, &[], "11", now);
    assert_eq!(plan.next_position(now), after("11"));
    plan.received(&mut Vec::new(), None, None, now);
    assert_eq!(plan.next_position(now), after("11"));
    plan.received(&mut records(&["13"]), None, None, now);
    assert_eq!(plan.next_position(now), after("13"));
}

#[test]
fn after_a_pause_it_continues_at_the_last_record_and_reports_a_gap() {
    let (mut plan, now) = (SubscriptionPlan::new(StartingPosition::TrimHorizon), Instant::now());
    received(&mut plan, &["7"], "9", now);
    let later = now + MAX_PAUSE + Duration::from_secs(1);
    assert_eq!(plan.next_position(later), StartingPosition::At(number("7")));
    let mut found = records(&["7", "12"]);
    assert_eq!(plan.received(&mut found, Some(number("12")), None, later), None);
    assert_eq!(found, records(&["12"]));
    let much_later = later + MAX_PAUSE * 2;
    assert_eq!(plan.next_position(much_later), StartingPosition::At(number("12")));
    let gap = received(&mut plan, &["20"], "20", much_later);
    assert_eq!(gap, Some(RecordGap { after: number("12"), found: number("20") }));
    assert_eq!(plan.next_position(much_later), after("20"));
}

#[test]
fn a_refused_continuation_falls_back_to_the_last_record_once() {
    let (mut plan, now) = (SubscriptionPlan::new(StartingPosition::TrimHorizon), Instant::now());
    received(&mut plan, &["7"], "9", now);
    plan.next_position(now);
    assert!(plan.position_refused());
    assert_eq!(plan.next_position(now), StartingPosition::At(number("7")));
    assert!(!plan.position_refused());
}

#[test]
fn a_refused_last_record_is_reported_at_once() {
    let (mut plan, now) = (SubscriptionPlan::new(StartingPosition::TrimHorizon), Instant::now());
    received(&mut plan, &["7"], "9", now);
    plan.next_position(now + MAX_PAUSE * 2);
    assert!(!plan.position_refused());
}

#[test]
fn latest_becomes_a_timestamp_once_subscribed() {
    let (mut plan, now) = (SubscriptionPlan::new(StartingPosition::Latest), Instant::now());
    assert_eq!(plan.next_position(now), StartingPosition::Latest);
    plan.subscribed(Timestamp::from_millis(42_000));
    assert_eq!(plan.next_position(now), StartingPosition::AtTimestamp(Timestamp::from_millis(41_000)));
}
