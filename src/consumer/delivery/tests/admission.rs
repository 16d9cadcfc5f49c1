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

fn accept(permit: AppPermit) {
    permit.finish(&Ok(Accepted::All), None);
}

#[tokio::test(start_paused = true)]
async fn requests_are_limited_for_the_process_and_for_each_input() {
    let (admission, input, other) = (Arc::new(AppAdmission::new(3, 1)), slots(2), slots(9));
    let first = admission.try_acquire(&input).unwrap();
    let _second = admission.try_acquire(&input).unwrap();
    assert!(admission.try_acquire(&input).is_none(), "the input has two");
    let _third = admission.try_acquire(&other).unwrap();
    assert!(admission.try_acquire(&other).is_none(), "the process has three");
    let mut waiting = Box::pin(Arc::clone(&admission).acquire(input.clone()));
    assert!(waiting.as_mut().now_or_never().is_none());
    first.finish(&Ok(Accepted::All), None);
    assert!(waiting.await.is_some());
}

#[tokio::test(start_paused = true)]
async fn one_request_probes_an_app_that_is_down_and_its_answer_releases_the_others() {
    let (admission, input) = (Arc::new(AppAdmission::new(9, 1)), slots(9));
    admission.try_acquire(&input).unwrap().finish(&down(), None);
    assert!(admission.try_acquire(&input).is_none());
    let probe = Arc::clone(&admission).acquire(input.clone()).await.unwrap();
    let others = futures_util::future::join_all((0..3).map(|_| Arc::clone(&admission).acquire(input.clone())));
    let mut others = Box::pin(others);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut others).await.is_err());
    probe.finish(&Ok(Accepted::All), None);
    assert!(others.await.iter().all(Option::is_some));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_is_followed_by_another() {
    let (admission, input) = (Arc::new(AppAdmission::new(9, 1)), slots(9));
    admission.try_acquire(&input).unwrap().finish(&down(), None);
    drop(Arc::clone(&admission).acquire(input.clone()).await);
    assert!(Arc::clone(&admission).acquire(input.clone()).await.unwrap().is_probe);
}

#[tokio::test(start_paused = true)]
async fn slots_that_are_withheld_come_back_when_the_app_recovers() {
    let (admission, input) = (Arc::new(AppAdmission::new(8, 1)), slots(99));
    let held: Vec<AppPermit> = (0..8).map(|_| admission.try_acquire(&input).unwrap()).collect();
    held.into_iter().for_each(|permit| {
        permit.finish(&busy(), None);
    });
    let mut held = Vec::new();
    while let Some(permit) = admission.try_acquire(&input) {
        held.push(permit);
    }
    assert_eq!(held.len(), 5, "eight, reduced by 30 %");
    for _ in 0..60 {
        tokio::time::advance(Duration::from_millis(1_200)).await;
        held.drain(..).for_each(accept);
        for _ in 0..2 {
            while let Some(permit) = admission.try_acquire(&input) {
                held.push(permit);
            }
            let begun = std::mem::take(&mut held);
            begun.into_iter().for_each(accept);
        }
    }
    while let Some(permit) = admission.try_acquire(&input) {
        held.push(permit);
    }
    assert_eq!(held.len(), 8);
}

fn not_http() -> Result<Accepted, DeliveryError> {
    let (address, finding) = ("127.0.0.1:1".to_owned(), "garbage".to_owned());
    Err(DeliveryError::NotHttp { address, expected: "HTTP/1.1", finding, source: BoxError::from("invalid") })
}

fn timed_out() -> Result<Accepted, DeliveryError> {
    let limit = Duration::from_secs(1);
    Err(DeliveryError::TimedOut { target: "POST /orders".to_owned(), limit, option: "--app-timeout" })
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_http_means_that_the_app_is_down_unless_it_answers_others() {
    let (admission, input) = (Arc::new(AppAdmission::new(9, 1)), slots(9));
    let permit = async || Arc::clone(&admission).acquire(input.clone()).await.unwrap();
    let since = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(permit().await.finish(&not_http(), None));
    assert!(permit().await.finish(&not_http(), Some(since)), "nothing was answered");
    assert!(admission.down_since().is_some());
    assert!(!permit().await.finish(&Ok(Accepted::All), None));
    assert!(!permit().await.finish(&not_http(), Some(since)), "the app answers others");
    assert_eq!(admission.down_since(), None);
    assert!(permit().await.finish(&not_http(), Some(Instant::now())), "it has answered nothing since then");
}

#[tokio::test(start_paused = true)]
async fn a_probe_without_a_response_does_not_show_that_the_app_is_up() {
    let (admission, input) = (Arc::new(AppAdmission::new(9, 1)), slots(9));
    admission.try_acquire(&input).unwrap().finish(&down(), None);
    let down_since = admission.down_since();
    let probe = Arc::clone(&admission).acquire(input.clone()).await.unwrap();
    assert!(!probe.finish(&timed_out(), None), "the attempt counts");
    assert!(admission.try_acquire(&input).is_none());
    assert_eq!(admission.down_since(), down_since);
    let probe = Arc::clone(&admission).acquire(input.clone()).await.unwrap();
    probe.finish(&busy(), None);
    assert!(admission.try_acquire(&input).is_some(), "any status shows it");
    admission.try_acquire(&input).unwrap().finish(&timed_out(), None);
    assert!(admission.try_acquire(&input).is_some(), "a request that is no probe changes nothing");
}
