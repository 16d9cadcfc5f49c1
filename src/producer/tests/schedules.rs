//! Invariants under any schedule of failures.

use super::super::{Aggregation, Batching, Ordering, ProducerSettings};
use super::script::{Reaction, Rig, Script, failure, record, within};
use crate::aggregation::unpack;
use crate::domain::{FailureKind, NewRecord};
use futures_util::future::join_all;
use proptest::prelude::*;
use std::collections::HashMap;

/// Draws the reaction to each call from a seed.
fn random_reactions(seed: u64) -> impl FnMut(usize, &[NewRecord]) -> Reaction + Send {
    let mut random = fastrand::Rng::with_seed(seed);
    move |_, records| match random.u8(0..10) {
        0 => Reaction::Refuse(failure(FailureKind::Transient)),
        1 => Reaction::Refuse(failure(FailureKind::Throttled)),
        2..6 => {
            let mut entry = |_: &NewRecord| (random.u8(0..3) == 0).then(|| failure(FailureKind::Throttled));
            Reaction::Each(records.iter().map(&mut entry).collect())
        }
        _ => Reaction::Store,
    }
}

fn user_records(record: &NewRecord) -> Vec<String> {
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    match unpack(&record.data).unwrap() {
        Some(user_records) => user_records.iter().map(|user| text(&user.data)).collect(),
        None => vec![text(&record.data)],
    }
}

/// Puts `keys.len()` records in bursts; returns the stored records as (key, number).
fn run(settings: ProducerSettings, keys: &[u8], seed: u64) -> Vec<(String, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let script = Script::new(random_reactions(seed));
    runtime.block_on(async {
        let rig = Rig::new(settings, &script);
        let puts = keys.iter().enumerate().map(|(n, key)| {
            let (rig, key) = (&rig, key.to_string());
            async move {
                tokio::time::sleep(std::time::Duration::from_millis(n as u64 / 10)).await;
                rig.producer.put(record(&key, &format!("{key}/{n}")), within(3_600_000)).await
            }
        });
        for answer in join_all(puts).await {
            answer.unwrap();
        }
        rig.producer.close().await;
        rig.counts("queue_records", "", 0);
    });
    let place = |text: String| text.split_once('/').map(|(key, n)| (key.to_owned(), n.parse().unwrap())).unwrap();
    script.stored().iter().flat_map(user_records).map(place).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn each_record_is_stored_once_and_keys_keep_their_order(
        keys in prop::collection::vec(0_u8..6, 1..120),
        seed: u64,
        is_strict: bool,
        is_packed: bool,
        max_records in 1_usize..20,
    ) {
        let settings = ProducerSettings {
            ordering: if is_strict { Ordering::Strict } else { Ordering::Key },
            aggregation: if is_packed { Aggregation::Key } else { Aggregation::None },
            batching: Batching { max_records, ..Batching::default() },
            seed,
            ..ProducerSettings::default()
        };
        let stored = run(settings, &keys, seed);
        prop_assert_eq!(stored.len(), keys.len());
        let mut last = HashMap::new();
        for (key, number) in stored {
            let before = last.insert(key, number);
            prop_assert!(before < Some(number), "{:?} before {}", before, number);
        }
    }

    #[test]
    fn without_ordering_each_record_is_stored_once(keys in prop::collection::vec(0_u8..6, 1..200), seed: u64) {
        let mut stored = run(ProducerSettings { seed, ..ProducerSettings::default() }, &keys, seed);
        stored.sort_by_key(|(_, number)| *number);
        let numbers: Vec<usize> = stored.into_iter().map(|(_, number)| number).collect();
        prop_assert_eq!(numbers, (0..keys.len()).collect::<Vec<_>>());
    }
}
