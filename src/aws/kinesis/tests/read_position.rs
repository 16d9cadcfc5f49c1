use super::*;
use crate::domain::RecordPosition;
use bytes::Bytes;
use proptest::prelude::*;

fn number(number: u32) -> SequenceNumber {
    number.to_string().parse().unwrap()
}

fn record(sequence: u32, sub_sequence: u64) -> Record {
    Record {
        position: RecordPosition { sequence: number(sequence), sub_sequence },
        partition_key: "k".into(),
        data: Bytes::new(),
        arrival: None,
        is_damaged_aggregate: false,
        is_filtered: false,
        decompressed: None,
    }
}

fn records(sequences: &[u32]) -> Vec<Record> {
    sequences.iter().map(|sequence| record(*sequence, 0)).collect()
}

fn read(position: &mut ReadPosition, sequences: &[u32], now: Instant) -> (Vec<u32>, Option<(u32, u32)>) {
    let mut batch = records(sequences);
    let gap = position.accept(&mut batch, None, now);
    let digits = |number: &SequenceNumber| number.as_str().parse().unwrap();
    let left = batch.iter().map(|record| digits(&record.position.sequence)).collect();
    (left, gap.map(|gap| (digits(&gap.after), digits(&gap.found))))
}

#[test]
fn reading_resumes_at_the_last_record_and_skips_it() {
    let (mut position, now) = (ReadPosition::new(StartingPosition::TrimHorizon), Instant::now());
    assert_eq!(position.resume(), StartingPosition::TrimHorizon);
    assert_eq!(read(&mut position, &[5, 7], now), (vec![5, 7], None));
    assert_eq!(position.resume(), StartingPosition::At(number(7)));
    assert_eq!(read(&mut position, &[], now), (vec![], None));
    assert_eq!(read(&mut position, &[7, 9], now), (vec![9], None));
    assert_eq!(read(&mut position, &[20], now), (vec![20], None));
}

#[test]
fn all_records_of_an_aggregate_are_skipped() {
    let (mut position, now) = (ReadPosition::new(StartingPosition::TrimHorizon), Instant::now());
    let mut first = vec![record(5, 0), record(5, 1), record(5, 2)];
    assert_eq!((position.accept(&mut first, None, now), first.len()), (None, 3));
    position.resume();
    let mut again = vec![record(5, 0), record(5, 1), record(5, 2), record(6, 0), record(6, 1)];
    assert_eq!(position.accept(&mut again, None, now), None);
    assert_eq!(again, [record(6, 0), record(6, 1)]);
}

#[test]
fn a_first_record_beyond_the_last_one_is_reported_once() {
    let (mut position, now) = (ReadPosition::new(StartingPosition::TrimHorizon), Instant::now());
    read(&mut position, &[5], now);
    position.resume();
    assert_eq!(read(&mut position, &[9], now), (vec![9], Some((5, 9))));
    assert_eq!(read(&mut position, &[12], now), (vec![12], None));
}

#[test]
fn within_the_shortest_retention_nothing_can_be_missing() {
    let (mut position, now) = (ReadPosition::new(StartingPosition::TrimHorizon), Instant::now());
    let hour = Duration::from_secs(3_600);
    for (behind, pause, is_gap) in [(0, 23, false), (0, 24, true), (20, 3, false), (20, 4, true)] {
        assert_eq!(position.accept(&mut records(&[5]), Some(hour * behind), now), None);
        position.resume();
        let gap = position.accept(&mut records(&[9]), None, now + hour * pause);
        assert_eq!(gap.is_some(), is_gap, "{behind} h behind, paused for {pause} h");
        position = ReadPosition::new(StartingPosition::TrimHorizon);
    }
}

#[test]
fn latest_is_pinned_a_second_before_the_date_of_the_response() {
    let mut position = ReadPosition::new(StartingPosition::Latest);
    position.pin_latest(Timestamp::from_millis(42_000));
    position.pin_latest(Timestamp::from_millis(99_000));
    assert_eq!(position.resume(), StartingPosition::AtTimestamp(Timestamp::from_millis(41_000)));
}

proptest! {
    /// However often reading resumes, each record is returned once and in order.
    #[test]
    fn nothing_is_returned_twice_or_skipped(steps in prop::collection::vec((any::<bool>(), 1_u32..5), 1..30)) {
        let (mut position, now) = (ReadPosition::new(StartingPosition::TrimHorizon), Instant::now());
        let (mut next, mut returned) = (1_u32, Vec::new());
        for (resumes, count) in steps {
            if resumes && let StartingPosition::At(last) = position.resume() {
                next = last.as_str().parse().unwrap();
            }
            let batch: Vec<u32> = (next..next + count).collect();
            let (left, gap) = read(&mut position, &batch, now);
            prop_assert_eq!(gap, None);
            returned.extend(left);
            next += count;
        }
        let expected: Vec<u32> = (1..).take(returned.len()).collect();
        prop_assert_eq!(&returned, &expected);
        prop_assert_eq!(returned.last().copied().unwrap_or_default(), next - 1);
    }
}
