//! Records that a transform changes, drops, multiplies, or fails on.

use super::app::{Act, Bench};
use super::*;
use crate::consumer::settings::{OnPoison, Order, Partial};
use crate::domain::{BindingEvent, GiveUpReason, RecordTransform, TransformError, Transformed};
use crate::telemetry::ShapedSide;
use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Decides by the first letter of the text, which is the key of the record.
#[derive(Debug)]
struct ByLetter;

#[async_trait]
impl RecordTransform for ByLetter {
    async fn transform(&self, event: &BindingEvent, _: Option<&Bytes>, may_wait: bool) -> Option<Transformed> {
        tokio::task::yield_now().await;
        let text = String::from_utf8(event.data.to_vec()).unwrap();
        let error = || TransformError("it is odd".to_owned());
        Some(match text.chars().next() {
            Some('w') if !may_wait => return None,
            Some('f') => Transformed::Failed(error()),
            Some('d') => Transformed::Dropped(error()),
            Some('e') => Transformed::Outputs(Vec::new()),
            Some('p') => Transformed::PassedThrough(event.data.clone(), None, error()),
            Some('m') => Transformed::Outputs((0..3).map(|part| format!("{text}/{part}").into()).collect()),
            Some('u') => Transformed::Unchanged(event.data.clone(), None),
            _ => Transformed::Outputs(vec![text.to_uppercase().into()]),
        })
    }
}

fn bench(settings: DeliverySettings, otherwise: Act, has_letters: bool) -> Bench {
    let mut bench = Bench::with_letters(settings, [], otherwise, has_letters);
    bench.delivery.to.shaping.transform = Some(Arc::new(ByLetter));
    bench.delivery.to.shaping.metrics = Some(Arc::new(bench.metrics.shaping("orders", ShapedSide::Input)));
    bench
}

fn batches(order: Order) -> DeliverySettings {
    DeliverySettings { order, batch_size: 4, ..DeliverySettings::default() }
}

fn texts(bench: &Bench) -> Vec<Vec<String>> {
    bench.seen().into_iter().map(|seen| seen.texts).collect()
}

fn shaped(bench: &Bench, result: &str) -> u64 {
    let page = bench.metrics.page().unwrap();
    let name = format!("bindd_shaped_records_total{{component=\"orders\",side=\"input\",result=\"{result}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

fn calls(bench: &Bench) -> u64 {
    let page = bench.metrics.page().unwrap();
    let name = "bindd_input_callback_seconds_count{component=\"orders\"} ";
    page.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_record_without_outputs_is_done_without_a_call_of_the_app() {
    let mut bench = bench(DeliverySettings::default(), Act::Accept, true);
    bench.push("eeee");
    assert_eq!(bench.done(4).await, [0, 1, 2, 3]);
    assert_eq!((calls(&bench), shaped(&bench, "filtered")), (0, 4));
    bench.push("ea");
    assert_eq!(bench.done(2).await.len(), 2);
    assert_eq!((texts(&bench), calls(&bench), bench.delivery.budget().held()), (vec![vec!["A5".to_owned()]], 1, 0));
}

#[tokio::test(start_paused = true)]
async fn several_outputs_are_delivered_in_order_and_the_record_is_done_after_the_last() {
    let settings = DeliverySettings { max_attempts: None, ..DeliverySettings::default() };
    let mut bench = bench(settings, Act::Accept, true);
    *bench.app.acts.lock().unwrap() = [Act::Accept, Act::Refuse(500, None)].into();
    bench.push("mm");
    assert_eq!(bench.done(1).await, [0]);
    let expected = ["m0/0", "m0/1", "m0/0", "m0/1", "m0/2"].map(|text| vec![text.to_owned()]);
    assert_eq!(texts(&bench)[..5], expected, "all come again after one was refused");
    assert_eq!(bench.done(1).await, [1]);
    assert_eq!((calls(&bench), shaped(&bench, "transformed")), (8, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_as_many_outputs_as_fit_and_the_other_records_wait() {
    let mut bench = bench(batches(Order::Key), Act::Accept, true);
    bench.push("ambc");
    assert_eq!(bench.done(4).await, [0, 1, 2, 3]);
    let expected: Vec<Vec<&str>> = vec![vec!["A0", "m1/0", "m1/1", "m1/2"], vec!["B2", "C3"]];
    assert_eq!(texts(&bench), expected);
    let settings = DeliverySettings { batch_size: 2, ..batches(Order::Key) };
    let mut bench = self::bench(settings, Act::Accept, true);
    bench.push("ma");
    assert_eq!(bench.done(2).await, [0, 1]);
    let expected: Vec<Vec<&str>> = vec![vec!["m0/0", "m0/1"], vec!["m0/2"], vec!["A1"]];
    assert_eq!(texts(&bench), expected, "a record with more outputs than a request takes has several requests");
}

#[tokio::test(start_paused = true)]
async fn a_record_for_which_there_is_no_memory_waits_for_the_next_request() {
    let mut bench = bench(batches(Order::Key), Act::Accept, true);
    bench.push("awb");
    assert_eq!(bench.done(3).await, [0, 1, 2]);
    assert_eq!(texts(&bench), [vec!["A0"], vec!["W1", "B2"]]);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_the_app_reports_is_a_failure_of_its_record() {
    let settings = DeliverySettings { partial: Partial::Exact, batch_size: 8, ..batches(Order::Key) };
    let mut bench = bench(settings, Act::Accept, true);
    *bench.app.acts.lock().unwrap() = [Act::Partly(vec![2])].into();
    bench.push("amb");
    let mut done = bench.done(3).await;
    assert_eq!(done.split_off(2), [1]);
    let expected: Vec<Vec<&str>> = vec![vec!["A0", "m1/0", "m1/1", "m1/2", "B2"], vec!["m1/0", "m1/1", "m1/2"]];
    assert_eq!(texts(&bench), expected);
    assert_eq!(bench.seen()[1].attempts, [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_record_on_which_the_transform_fails_is_a_dead_letter_at_once_and_its_key_goes_on_after_it() {
    let settings = DeliverySettings { max_attempts: Some(9), ..batches(Order::Key) };
    let mut bench = bench(settings, Act::Accept, true);
    *bench.letters.failures.lock().unwrap() = 2;
    bench.push("afab");
    let done = bench.done(4).await;
    assert_eq!(done.last(), Some(&1), "the store failed twice: {done:?}");
    let letters = bench.letters.stored.lock().unwrap().clone();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.reason, letter.event.attempt, letter.status), (GiveUpReason::Transform, 0, None));
    assert_eq!((&letter.event.data[..], letter.first_attempt), (&b"f1"[..], None), "the record as it was put");
    assert_eq!(letter.error.as_deref(), Some("the transform failed: it is odd"));
    assert_eq!((shaped(&bench, "dead_letter"), bench.counter("records_retried")), (1, 0));
    assert!(texts(&bench).concat().iter().all(|text| !text.starts_with(['f', 'F'])));
    assert_eq!(bench.delivery.budget().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_a_failed_transform_blocks_its_key_as_a_refused_record_does() {
    let mut bench = bench(DeliverySettings::default(), Act::Accept, false);
    bench.push("faf");
    assert_eq!(bench.done_at_most().await, [1]);
    assert_eq!((bench.delivery.lanes.parked(), shaped(&bench, "failed")), (1, 1));
    let settings = DeliverySettings { on_poison: OnPoison::Drop, ..DeliverySettings::default() };
    let mut bench = self::bench(settings, Act::Accept, false);
    bench.push("faf");
    assert_eq!(bench.done(3).await.len(), 3);
    assert_eq!((bench.counter("records_dropped"), shaped(&bench, "failed")), (2, 2));
}

/// Runs out of time with records of the key `t`, as often as it says.
#[derive(Debug)]
struct Stopped(AtomicU32);

#[async_trait]
impl RecordTransform for Stopped {
    async fn transform(&self, event: &BindingEvent, _: Option<&Bytes>, _: bool) -> Option<Transformed> {
        let spend = |left: u32| left.checked_sub(1);
        if event.data.starts_with(b"t") && self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok() {
            return Some(Transformed::OutOfTime(TransformError("out of time".to_owned())));
        }
        Some(Transformed::Outputs(vec![event.data.clone()]))
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_transform_ran_out_of_time_comes_again_and_its_key_waits() {
    let settings = DeliverySettings { max_attempts: Some(4), ..batches(Order::Key) };
    let mut bench = bench(settings, Act::Accept, true);
    bench.delivery.to.shaping.transform = Some(Arc::new(Stopped(AtomicU32::new(3))));
    bench.push("tatb");
    let mut done = bench.done(4).await;
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3]);
    let sent = texts(&bench).concat();
    let of_key: Vec<_> = sent.iter().map(String::as_str).filter(|text| text.starts_with('t')).collect();
    assert_eq!((of_key, sent.len()), (vec!["t0", "t2"], 4));
    assert!(bench.seen().iter().all(|seen| seen.attempts.iter().all(|attempt| *attempt == 1)));
    assert!(bench.letters.stored.lock().unwrap().is_empty());
    assert_eq!((bench.counter("records_retried"), bench.delivery.budget().held()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_transform_that_is_always_out_of_time_uses_up_the_attempts() {
    let settings = DeliverySettings { max_attempts: Some(3), ..batches(Order::Key) };
    let mut bench = bench(settings, Act::Accept, true);
    bench.delivery.to.shaping.transform = Some(Arc::new(Stopped(AtomicU32::new(u32::MAX))));
    bench.push("ta");
    assert_eq!(bench.done(2).await, [1, 0]);
    let letters = bench.letters.stored.lock().unwrap().clone();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.reason, letter.event.attempt), (GiveUpReason::Attempts, 3));
    assert_eq!(letter.error.as_deref(), Some("the transform failed: out of time"));
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_transform_drops_or_passes_through_is_counted_once() {
    let mut bench = bench(DeliverySettings::default(), Act::Accept, true);
    *bench.app.acts.lock().unwrap() = [Act::Refuse(500, None)].into();
    bench.push("pd");
    assert_eq!(bench.done(2).await.len(), 2);
    assert_eq!((shaped(&bench, "passed_through"), shaped(&bench, "dropped")), (1, 1));
    assert_eq!((bench.counter("records_dropped"), texts(&bench).len()), (1, 2));
    assert!(bench.letters.stored.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_circuit_breaker_holds_back_is_counted_once() {
    let mut bench = bench(DeliverySettings::default(), Act::Accept, true);
    *bench.app.acts.lock().unwrap() = [Act::Held, Act::Held, Act::Refuse(500, None)].into();
    bench.push("a");
    assert_eq!(bench.done(1).await, [0]);
    assert_eq!((texts(&bench).len(), shaped(&bench, "transformed")), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_fence_that_a_transform_waited_beyond() {
    #[derive(Debug)]
    struct Slow;
    #[async_trait]
    impl RecordTransform for Slow {
        async fn transform(&self, event: &BindingEvent, _: Option<&Bytes>, _: bool) -> Option<Transformed> {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Some(Transformed::Outputs(vec![event.data.clone()]))
        }
    }
    let mut bench = bench(DeliverySettings::default(), Act::Accept, true);
    bench.delivery.to.shaping.transform = Some(Arc::new(Slow));
    let fence = Fence::new(Instant::now(), Instant::now() + Duration::from_secs(30));
    bench.delivery.bounds.fence = fence;
    bench.push("a");
    assert!(bench.done_at_most().await.is_empty());
    assert_eq!((bench.seen().len(), calls(&bench)), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Of each key, outputs are first accepted in the order of their records, and every record gets its fate.
    #[test]
    fn each_record_has_its_fate_and_keys_stay_in_order(
        records in "[abdefmpuw]{1,24}",
        acts in proptest::collection::vec(0_u8..4, 0..12),
        batch_size in 1_usize..6,
        by_shard: bool,
        is_exact: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let order = if by_shard { Order::Shard } else { Order::Key };
            let partial = if is_exact { Partial::Exact } else { Partial::Lowest };
            let settings = DeliverySettings { order, partial, batch_size, ..DeliverySettings::default() };
            let mut bench = bench(settings, Act::Accept, true);
            let act = |act: &u8| match act {
                0 => Act::Accept,
                1 => Act::Refuse(500, None),
                2 => Act::Partly(vec![0]),
                _ => Act::Broken,
            };
            *bench.app.acts.lock().unwrap() = acts.iter().map(act).collect();
            bench.push(&records);
            let mut done = bench.done(records.len()).await;
            done.sort_unstable();
            prop_assert_eq!(done, (0..records.len() as u64).collect::<Vec<_>>());
            prop_assert_eq!(bench.delivery.budget().held(), 0);
            let mut last_seen: std::collections::HashMap<String, Vec<String>> = std::collections::HashMap::new();
            for text in texts(&bench).concat() {
                let seen = last_seen.entry(if by_shard { String::new() } else { text[..1].to_lowercase() }).or_default();
                if !seen.contains(&text) {
                    seen.push(text);
                }
            }
            for seen in last_seen.values() {
                let number = |text: &String| -> usize { text[1..].split('/').next().unwrap().parse().unwrap() };
                prop_assert!(seen.iter().map(number).is_sorted(), "{seen:?}");
            }
            let expected = records.chars().map(|key| match key { 'd' | 'e' | 'f' => 0, 'm' => 3, _ => 1 }).sum::<usize>();
            prop_assert_eq!(last_seen.values().map(Vec::len).sum::<usize>(), expected);
            let failing = records.chars().filter(|key| *key == 'f').count();
            prop_assert_eq!(bench.letters.stored.lock().unwrap().len(), failing);
            Ok(())
        })?;
    }
}
