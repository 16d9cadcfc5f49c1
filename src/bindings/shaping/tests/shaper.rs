//! Filters and transforms of an output.

use super::super::expression::Expression;
use super::super::record::{OnError, Transform};
use super::super::run_place::MAX_INLINE;
use super::*;
use crate::telemetry::{Metrics, ShapedSide};
use crate::testing::LogLines;
use futures_util::FutureExt;
use std::time::Duration;

fn shaper(program: &str, memory: BodyMemory) -> Shaper {
    let program = Expression::compile(program).unwrap();
    let transform = Some(Transform { program, on_error: OnError::DeadLetter });
    let metrics = Metrics::new().shaping("orders", ShapedSide::Output);
    Shaper::new("orders", Arc::new(Shaping { filter: None, transform }), memory, metrics)
}

#[test]
fn large_requests_and_slow_programs_run_on_a_thread_for_blocking_work() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let shaper = shaper("length", BodyMemory::new(None));
        let metadata = Metadata::default();
        for (text, is_slow, is_elsewhere) in [
            ("z".repeat(MAX_INLINE), false, true),
            ("small".to_owned(), true, true),
            ("small".to_owned(), false, false),
        ] {
            // The only such thread is busy.
            let (release, held) = std::sync::mpsc::channel::<()>();
            let other = tokio::task::spawn_blocking(move || held.recv().is_err());
            shaper.place.set_slow(is_slow);
            let data = Bytes::from(format!("\"{text}\""));
            let mut running = std::pin::pin!(shaper.shape(&data, None, &metadata));
            let first = running.as_mut().now_or_never();
            assert_eq!(first.is_none(), is_elsewhere, "this thread is free meanwhile");
            drop(release);
            assert!(other.await.unwrap());
            let shaped = match first {
                Some(shaped) => shaped,
                None => running.await,
            };
            let Ok(ShapedData::One(output, _)) = shaped else { panic!("not one: {shaped:?}") };
            assert_eq!(output, text.len().to_string());
        }
    });
}

#[tokio::test]
async fn what_a_transform_makes_takes_memory_until_it_is_given_back() {
    let memory = BodyMemory::new(Some(10));
    let shaper = shaper("., .", memory.clone());
    let (metadata, long, short) = (Metadata::default(), Bytes::from_static(b"1234"), Bytes::from_static(b"12"));
    let Ok(ShapedData::Several(outputs, held)) = shaper.shape(&long, None, &metadata).await else { panic!("one") };
    let full = shaper.shape(&short, None, &metadata).await.unwrap_err();
    assert_eq!((full.error.kind(), full.is_dead_letter), (FailureKind::Unavailable, false));
    let other = held.clone().hold(Bytes::from_static(b"what is made of an output"));
    drop((outputs, held));
    assert!(memory.reservation().grow(3).is_err(), "it holds all of it");
    drop(other);
    memory.reservation().grow(10).unwrap();
}

#[tokio::test]
async fn a_transform_that_is_out_of_time_may_be_repeated_whatever_the_component_says() {
    for on_error in [OnError::Fail, OnError::Passthrough, OnError::DropCounted, OnError::DeadLetter] {
        let metrics = Metrics::new().shaping("orders", ShapedSide::Output);
        let shaper = Shaper::new("orders", Arc::new(Shaping::out_of_time(on_error)), BodyMemory::new(None), metrics);
        let failed = shaper.shape(&Bytes::from_static(b"1"), None, &Metadata::default()).await.unwrap_err();
        assert_eq!((failed.error.kind(), failed.is_dead_letter), (FailureKind::TimedOut, false), "{on_error:?}");
        assert!(failed.error.kind().may_retry());
    }
}

#[test]
fn a_record_was_left_out_only_if_the_response_says_so() {
    let is_reported = |key: &'static str, value: &str| {
        let metadata = vec![(key.into(), value.to_owned())];
        LeftOut::is_reported_in(&InvokeResponse { metadata, ..InvokeResponse::default() })
    };
    assert!(is_reported("filtered", "true") && is_reported("dropped", "true"));
    assert!(!is_reported("filtered", "2") && !is_reported("sequenceNumber", "true"));
}

#[test]
fn the_counts_of_a_bulk_add_up() {
    let text = |counts: Vec<(Cow<'static, str>, String)>| {
        counts.iter().map(|(key, count)| format!("{key}={count} ")).collect::<String>()
    };
    assert_eq!(text(counts(3, 1, [0, 0])), "succeeded=2 failed=1 ");
    assert_eq!(text(counts(9, 1, [2, 3])), "succeeded=3 failed=1 filtered=2 dropped=3 ");
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_does_not_see_as_an_error_is_logged_once_a_minute_without_the_record() {
    for (on_error, consequence) in [(OnError::Passthrough, "written as it is"), (OnError::DropCounted, "dropped")] {
        let log = LogLines::default();
        let recording = log.recording();
        let metrics = Metrics::new().shaping("orders", ShapedSide::Output);
        let shaping = Shaping { filter: None, transform: Some(Transform { program: failing(), on_error }) };
        let shaper = Shaper::new("orders", Arc::new(shaping), BodyMemory::new(None), metrics);
        let data = Bytes::from_static(br#"{"secret": "s3cr3t"}"#);
        for _ in 0..3 {
            shaper.shape(&data, None, &Metadata::default()).await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        shaper.shape(&data, None, &Metadata::default()).await.unwrap();
        drop(recording);
        let lines = log.lines();
        let lines: Vec<_> = lines.iter().filter(|line| line.contains("transform failed")).collect();
        let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(first.contains(consequence) && first.contains("orders") && !first.contains("s3cr3t"), "{first}");
        assert!(second.contains("others=2"), "{second}");
    }
}

fn failing() -> Expression {
    Expression::compile(".secret.x").unwrap()
}
