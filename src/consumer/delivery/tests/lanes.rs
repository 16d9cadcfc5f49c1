use super::*;
use crate::domain::RecordPosition;
use proptest::prelude::*;

fn settings(order: Order, batch_size: usize) -> DeliverySettings {
    DeliverySettings { order, batch_size, ..DeliverySettings::default() }
}

fn unit(index: u64, key: &str, bytes: usize, now: Instant) -> Unit {
    let position = RecordPosition::plain(index.to_string().parse().unwrap());
    let record = Record {
        position,
        partition_key: key.to_owned(),
        data: vec![b'x'; bytes].into(),
        arrival: None,
        is_damaged_aggregate: false,
        is_filtered: false,
        decompressed: None,
    };
    Unit::new(index, record, 0, &ShardId::new("shardId-0"), now)
}

fn lanes(settings: &DeliverySettings, keys: &[&str], now: Instant) -> Lanes {
    let mut lanes = Lanes::new(settings);
    (0..).zip(keys).for_each(|(index, key)| lanes.push(unit(index, key, 1, now)));
    lanes
}

fn indexes(batch: &[(LaneId, Unit)]) -> Vec<u64> {
    batch.iter().map(|(_, unit)| unit.index).collect()
}

#[test]
fn records_of_different_keys_are_taken_together_and_those_of_one_key_one_by_one() {
    let now = Instant::now();
    let mut lanes = lanes(&settings(Order::Key, 1), &["a", "a", "b", "a"], now);
    let (first, second) = (lanes.take_batch(), lanes.take_batch());
    assert_eq!((indexes(&first), indexes(&second)), (vec![0], vec![2]));
    assert!(lanes.take_batch().is_empty(), "the next record of `a` waits");
    lanes.release(first[0].0, None);
    assert_eq!(indexes(&lanes.take_batch()), [1]);
}

#[test]
fn the_order_of_the_shard_has_one_record_in_flight_and_no_order_has_all() {
    let now = Instant::now();
    let mut one = lanes(&settings(Order::Shard, 1), &["a", "b", "c"], now);
    assert_eq!((indexes(&one.take_batch()), one.take_batch().len()), (vec![0], 0));
    let mut all = lanes(&settings(Order::None, 1), &["a", "a", "a"], now);
    let taken: Vec<u64> = (0..3).flat_map(|_| indexes(&all.take_batch())).collect();
    assert_eq!(taken, [0, 1, 2]);
}

#[test]
fn a_parked_key_keeps_its_followers_and_delays_no_other_key() {
    let now = Instant::now();
    let mut lanes = lanes(&settings(Order::Key, 1), &["a", "b", "a"], now);
    let (lane, unit) = lanes.take_batch().remove(0);
    lanes.put_back(lane, unit);
    let until = now + Duration::from_secs(5);
    lanes.release(lane, Some(until));
    assert_eq!((lanes.parked(), indexes(&lanes.take_batch())), (1, vec![1]));
    assert!(lanes.take_batch().is_empty());
    assert_eq!(lanes.next_batch_at(false), Some(until));
    lanes.wake(until);
    assert_eq!((lanes.parked(), indexes(&lanes.take_batch())), (0, vec![0]));
}

#[test]
fn a_batch_is_full_by_number_or_bytes_and_a_large_record_goes_alone() {
    let now = Instant::now();
    let limits = DeliverySettings { batch_size: 3, batch_bytes: 10, ..DeliverySettings::default() };
    let mut lanes = Lanes::new(&limits);
    for (index, bytes) in [(0, 50), (1, 4), (2, 4), (3, 4), (4, 1), (5, 1), (6, 1)] {
        lanes.push(unit(index, &index.to_string(), bytes, now));
    }
    let batches: Vec<Vec<u64>> = (0..4).map(|_| indexes(&lanes.take_batch())).collect();
    assert_eq!(batches, [vec![0], vec![1, 2], vec![3, 4, 5], vec![6]]);
}

#[test]
fn a_batch_waits_for_its_window_unless_it_is_full_or_flushed() {
    let now = Instant::now();
    let window = Duration::from_secs(3);
    let settings = DeliverySettings { batch_size: 2, batch_window: window, ..DeliverySettings::default() };
    let mut lanes = lanes(&settings, &["a"], now);
    assert_eq!((lanes.next_batch_at(false), lanes.next_batch_at(true)), (Some(now + window), Some(now)));
    lanes.push(unit(1, "b", 1, now));
    assert_eq!(lanes.next_batch_at(false), Some(now));
}

#[test]
fn suspects_are_sent_in_smaller_batches_and_only_with_each_other() {
    let now = Instant::now();
    let mut lanes = lanes(&settings(Order::Key, 4), &["a", "b", "c", "d", "e"], now);
    let mut batch = lanes.take_batch();
    batch.iter_mut().for_each(|(_, unit)| unit.history.max_batch = Some(2));
    for (lane, unit) in batch.into_iter().rev() {
        lanes.put_back(lane, unit);
        lanes.release(lane, None);
    }
    let batches: Vec<Vec<u64>> = (0..3).map(|_| indexes(&lanes.take_batch())).collect();
    assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4]]);
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Take,
    /// Ends the batch that was taken so long ago: accepted, or put back with a pause.
    End(usize, bool),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..5).prop_map(Step::Push),
        4 => Just(Step::Take),
        4 => (0_usize..4, any::<bool>()).prop_map(|(which, fails)| Step::End(which, fails)),
        1 => Just(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_key_overlaps_or_is_reordered_and_nothing_is_lost(
        steps in proptest::collection::vec(step(), 1..120),
        batch_size in 1_usize..5,
    ) {
        let mut now = Instant::now();
        let mut lanes = Lanes::new(&settings(Order::Key, batch_size));
        let (mut pushed, mut done) = (0_u64, Vec::new());
        let mut in_flight: Vec<Vec<(LaneId, Unit)>> = Vec::new();
        let mut accepted: HashMap<String, u64> = HashMap::new();
        let drain = (0..2_000).map(|number| if number % 3 == 0 { Step::Wait } else if number % 3 == 1 { Step::Take } else { Step::End(0, false) });
        for step in steps.into_iter().chain(drain) {
            match step {
                Step::Push(key) if pushed < 200 => {
                    lanes.push(unit(pushed, &key.to_string(), 1, now));
                    pushed += 1;
                }
                Step::Push(_) => {}
                Step::Wait => {
                    now += Duration::from_secs(2);
                    lanes.wake(now);
                }
                Step::Take => {
                    let batch = lanes.take_batch();
                    prop_assert!(batch.len() <= batch_size);
                    prop_assert!(indexes(&batch).is_sorted());
                    for (_, unit) in &batch {
                        let key = &unit.event.origin.partition_key;
                        let overlaps = in_flight.iter().flatten().any(|(_, other)| other.event.origin.partition_key == *key);
                        prop_assert!(!overlaps, "two batches hold key {}", key);
                    }
                    if !batch.is_empty() {
                        in_flight.push(batch);
                    }
                }
                Step::End(which, fails) if which < in_flight.len() => {
                    let batch = in_flight.remove(which);
                    let ids: Vec<LaneId> = batch.iter().map(|(lane, _)| *lane).collect();
                    for (lane, unit) in batch.into_iter().rev() {
                        if fails {
                            lanes.put_back(lane, unit);
                        } else {
                            done.push(unit);
                        }
                    }
                    ids.iter().for_each(|lane| lanes.release(*lane, fails.then(|| now + Duration::from_secs(1))));
                    if !fails {
                        let mut ended: Vec<&Unit> = done.iter().rev().take(ids.len()).collect();
                        ended.sort_by_key(|unit| unit.index);
                        for unit in ended {
                            let before = accepted.insert(unit.event.origin.partition_key.clone(), unit.index);
                            prop_assert!(before.is_none_or(|before| before < unit.index), "a record passed an earlier one");
                        }
                    }
                }
                Step::End(..) => {}
            }
        }
        let mut all: Vec<u64> = done.iter().map(|unit| unit.index).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..pushed).collect::<Vec<_>>());
        prop_assert!(lanes.lanes.is_empty() && lanes.ready_records == 0 && lanes.ready_bytes == 0);
    }
}
