use super::*;
use crate::domain::BoxError;
use futures_util::FutureExt;
use std::time::Duration;

fn slots(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count))
}

fn down() -> Result<Accepted, DeliveryError> {
    Err(DeliveryError::Unreachable { address: "127.0.0.1:1".to_owned(), source: BoxError::from("refused") })
}

fn busy() -> Result<Accepted, DeliveryError> {
    let target = "POST /orders".to_owned();
    Err(DeliveryError::Refused { status: 429, target, retry_after: None, location: None, excerpt: None })
}

#[tokio::test(start_paused = true)]
async fn requests_are_limited_for_the_process_and_for_each_input() {
    let (gate, input, other) = (Arc::new(AppGate::new(3, 1)), slots(2), slots(9));
    let first = gate.try_acquire(&input).unwrap();
    let _second = gate.try_acquire(&input).unwrap();
    assert!(gate.try_acquire(&input).is_none(), "the input has two");
    let _third = gate.try_acquire(&other).unwrap();
    assert!(gate.try_acquire(&other).is_none(), "the process has three");
    let mut waiting = Box::pin(Arc::clone(&gate).acquire(input.clone()));
    assert!(waiting.as_mut().now_or_never().is_none());
    first.finish(&Ok(Accepted::All));
    assert!(waiting.await.is_some());
}

#[tokio::test(start_paused = true)]
async fn one_request_probes_an_app_that_is_down_and_its_answer_releases_the_others() {
    let (gate, input) = (Arc::new(AppGate::new(9, 1)), slots(9));
    gate.try_acquire(&input).unwrap().finish(&down());
    assert!(gate.try_acquire(&input).is_none());
    let probe = Arc::clone(&gate).acquire(input.clone()).await.unwrap();
    let others = futures_util::future::join_all((0..3).map(|_| Arc::clone(&gate).acquire(input.clone())));
    let mut others = Box::pin(others);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut others).await.is_err());
    probe.finish(&Ok(Accepted::All));
    assert!(others.await.iter().all(Option::is_some));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_is_followed_by_another() {
    let (gate, input) = (Arc::new(AppGate::new(9, 1)), slots(9));
    gate.try_acquire(&input).unwrap().finish(&down());
    drop(Arc::clone(&gate).acquire(input.clone()).await);
    assert!(Arc::clone(&gate).acquire(input.clone()).await.unwrap().is_probe);
}

#[tokio::test(start_paused = true)]
async fn slots_that_are_withheld_come_back_when_the_app_recovers() {
    let (gate, input) = (Arc::new(AppGate::new(8, 1)), slots(99));
    let held: Vec<AppPermit> = (0..8).map(|_| gate.try_acquire(&input).unwrap()).collect();
    held.into_iter().for_each(|permit| permit.finish(&busy()));
    let mut held = Vec::new();
    while let Some(permit) = gate.try_acquire(&input) {
        held.push(permit);
    }
    assert_eq!(held.len(), 5, "eight, reduced by 30 %");
    for _ in 0..60 {
        tokio::time::advance(Duration::from_millis(1_200)).await;
        held.drain(..).for_each(|permit| permit.finish(&Ok(Accepted::All)));
        for _ in 0..2 {
            while let Some(permit) = gate.try_acquire(&input) {
                held.push(permit);
            }
            let begun = std::mem::take(&mut held);
            begun.into_iter().for_each(|permit| permit.finish(&Ok(Accepted::All)));
        }
    }
    while let Some(permit) = gate.try_acquire(&input) {
        held.push(permit);
    }
    assert_eq!(held.len(), 8);
}
