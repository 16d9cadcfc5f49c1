//! Which records share a call, and when it is sent.

use super::super::{Batching, ProducerSettings};
use super::script::{LATENCY, Rig, Script, record, within};
use crate::tasks::Supervisor;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_single_record_is_sent_at_once_and_by_put_record() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings::default(), &script);
    let begun = Instant::now();
    let written = rig.put("k", "a").await.unwrap();
    assert_eq!((begun.elapsed(), written.attempts, written.sub_sequence), (LATENCY, 1, None));
    let seen = script.seen();
    assert!(seen.len() == 1 && seen[0].is_put_record);
}

#[tokio::test(start_paused = true)]
async fn records_that_come_together_share_a_call_and_each_gets_its_own_number() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings::default(), &script);
    let written = join_all((0..500).map(|n| {
        let rig = &rig;
        async move { rig.put("k", &n.to_string()).await.unwrap() }
    }))
    .await;
    assert_eq!(script.seen().len(), 1);
    for (n, written) in written.iter().enumerate() {
        assert_eq!(written.receipt.sequence.as_str(), (n + 1).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn while_four_calls_are_in_flight_records_wait_for_others_but_not_past_max_delay() {
    let script = Script::storing();
    let batching = Batching { max_delay: Duration::from_millis(1), ..Batching::default() };
    let rig = Rig::new(ProducerSettings { batching, ..ProducerSettings::default() }, &script);
    let begun = Instant::now();
    let put_at = async |micros: u64| {
        tokio::time::sleep(Duration::from_micros(micros)).await;
        rig.put("k", "x").await.unwrap();
    };
    tokio::join!(put_at(0), put_at(1_000), put_at(2_000), put_at(2_900), put_at(3_000), put_at(3_500));
    let seen = script.seen();
    let sizes: Vec<usize> = seen.iter().map(|call| call.records.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 6);
    assert!(seen.last().unwrap().at - begun <= Duration::from_micros(3_500 + 2_000), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn when_a_call_ends_records_in_linger_are_sent() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings::default(), &script);
    let begun = Instant::now();
    let put_at = async |millis: u64| {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        rig.put("k", "x").await.unwrap();
    };
    // One call each at 0 to 3 ms; the two at 4 ms are sent together when the first call returns at 5 ms.
    tokio::join!(put_at(0), put_at(1), put_at(2), put_at(3), put_at(4), put_at(4));
    let seen = script.seen();
    let sizes: Vec<usize> = seen.iter().map(|call| call.records.len()).collect();
    assert_eq!(sizes, [1, 1, 1, 1, 2]);
    assert_eq!(seen[4].at - begun, LATENCY);
}

#[tokio::test(start_paused = true)]
async fn at_512_callers_a_call_serves_at_least_fifty_records() {
    const CALLERS: usize = 512;
    const EACH: usize = 40;
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings::default(), &script);
    let mut callers = Supervisor::new();
    for caller in 0..CALLERS {
        let producer = Arc::clone(&rig.producer);
        callers.spawn(caller.to_string(), async move {
            for _ in 0..EACH {
                producer.put(record(&caller.to_string(), "x"), within(10_000)).await.unwrap();
            }
        });
    }
    while let Some(ended) = callers.next().await {
        ended.result.unwrap();
    }
    let calls = script.seen().len();
    assert!(calls * 50 <= CALLERS * EACH, "{calls} calls for {} records", CALLERS * EACH);
    rig.counts("records_total", ",state=\"stored\"", 20_480);
    rig.counts("queue_records", "", 0);
}

#[tokio::test(start_paused = true)]
async fn without_batching_each_record_is_one_call_and_max_in_flight_bounds_the_calls() {
    let script = Script::storing();
    let batching = Batching { is_enabled: false, ..Batching::default() };
    let settings = ProducerSettings { batching, max_in_flight: 3, ..ProducerSettings::default() };
    let rig = Rig::new(settings, &script);
    let begun = Instant::now();
    join_all((0..9).map(|_| rig.put("k", "x"))).await;
    assert!(script.seen().iter().all(|call| call.is_put_record));
    assert_eq!((script.seen().len(), script.max_open()), (9, 3));
    assert_eq!(begun.elapsed(), 3 * LATENCY);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_request_is_written_in_order_with_an_answer_for_each_record() {
    let script = Script::storing();
    let settings = ProducerSettings::default();
    let bounds = super::super::QueueBounds { records: 40, ..settings.queue };
    let rig = Rig::new(ProducerSettings { queue: bounds, ..settings }, &script);
    let records = (0..100).map(|n| record("k", &n.to_string())).map(Into::into).collect();
    let written = rig.producer.put_all(records, within(10_000)).await;
    assert_eq!(written.len(), 100);
    for (n, written) in written.into_iter().enumerate() {
        assert_eq!(written.unwrap().receipt.sequence.as_str(), (n + 1).to_string());
    }
    assert!(script.seen().iter().all(|call| call.records.len() <= 20), "half of the queue is left to others");
}

#[tokio::test(start_paused = true)]
async fn a_record_with_a_sequence_number_for_ordering_is_sent_by_its_own_call() {
    let script = Script::storing();
    let rig = Rig::new(ProducerSettings::default(), &script);
    let after = super::super::PutOptions { after: Some("77".parse().unwrap()), ..within(1_000) };
    let (one, two, three) =
        tokio::join!(rig.put("k", "a"), rig.producer.put(record("k", "b"), after), rig.put("k", "c"));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    let of_b = script.seen().into_iter().find(|call| call.records[0].data == "b").unwrap();
    assert!(of_b.is_put_record && of_b.records.len() == 1);
    assert_eq!(of_b.after.unwrap().as_str(), "77");
}
