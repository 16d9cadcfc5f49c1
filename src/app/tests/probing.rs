//! Answers of the app to `OPTIONS`.

use super::super::Answer;
use super::raw::FAR;
use super::{Act, AppChannel, AppSettings, OK, answer, app, channel, deliver, route, settings};
use crate::domain::Stop;
use std::time::Duration;
use tokio::time::Instant;

/// A channel with a probe timeout that no test reaches, even if the clock jumps.
fn patient(port: u16) -> AppChannel {
    AppChannel::new(&AppSettings { probe_timeout: FAR, ..AppSettings::new(port) }).unwrap()
}

#[tokio::test]
async fn the_status_accepts_or_rejects_the_input() {
    let statuses = ["200 OK", "204 No Content", "405 Method Not Allowed"];
    let mut server = app(statuses.map(answer)).await;
    for _ in statuses {
        assert_eq!(channel(server.port).probe(&route()).await.unwrap(), Answer::Accepted);
    }
    let seen = server.seen.recv().await.unwrap();
    assert!(seen.head.starts_with("OPTIONS /orders HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert!(seen.body.is_empty());

    for status in [400, 401, 403, 404, 410, 501] {
        let server = app([answer(&format!("{status} No"))]).await;
        let reason = format!("the app answered {status} to OPTIONS /orders");
        let answer = channel(server.port).probe(&route()).await.unwrap();
        assert_eq!(answer, Answer::Rejected { status, reason });
    }
}

#[tokio::test]
async fn a_redirect_of_the_probe_names_the_route() {
    let redirect = "HTTP/1.1 308 Permanent Redirect\r\nlocation: /orders/\r\ncontent-length: 0\r\n\r\n".to_owned();
    let server = app([Act::Answer(redirect)]).await;
    let answer = channel(server.port).probe(&route()).await.unwrap();
    let Answer::Rejected { status: 308, reason } = answer else { panic!("{answer:?}") };
    assert!(reason.contains("set `route` to /orders/"), "{reason}");
}

#[tokio::test]
async fn a_probe_with_a_temporary_status_is_repeated_after_growing_waits() {
    let temporary =
        ["503 Starting", "502 Bad Gateway", "500 Oops", "504 Timeout", "429 Busy", "408 Timeout", "425 Early"];
    let mut acts: Vec<Act> = temporary.iter().map(|status| answer(status)).collect();
    acts.push(answer("200 OK"));
    let mut server = app(acts).await;
    let channel = patient(server.port);
    tokio::time::pause();
    assert_eq!(channel.until_answered(&route(), &Stop::new(), || ()).await, Some(Answer::Accepted));
    let probes = std::iter::from_fn(|| server.seen.try_recv().ok()).count();
    assert_eq!(probes, temporary.len() + 1);
}

#[tokio::test]
async fn the_wait_between_probes_is_never_shorter_than_retry_after() {
    let later = "HTTP/1.1 503 Starting\r\nretry-after: 77\r\ncontent-length: 0\r\n\r\n".to_owned();
    let server = app([Act::Answer(later), answer("200 OK")]).await;
    let channel = patient(server.port);
    tokio::time::pause();
    let begun = Instant::now();
    assert_eq!(channel.until_answered(&route(), &Stop::new(), || ()).await, Some(Answer::Accepted));
    assert!(begun.elapsed() >= Duration::from_secs(77), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stop_interrupts_the_wait_between_probes() {
    let later = "HTTP/1.1 503 Starting\r\nretry-after: 3000\r\ncontent-length: 0\r\n\r\n".to_owned();
    let mut server = app([Act::Answer(later)]).await;
    let (channel, stop, route) = (patient(server.port), Stop::new(), route());
    let stopping = async {
        server.seen.recv().await.unwrap();
        stop.finish();
    };
    let (answer, ()) = tokio::join!(channel.until_answered(&route, &stop, || ()), stopping);
    assert_eq!(answer, None);
}

#[tokio::test]
async fn a_probe_without_an_answer_is_repeated_until_there_is_one() {
    let app = app([Act::CloseUnanswered, answer("200 OK")]).await;
    assert_eq!(channel(app.port).until_answered(&route(), &Stop::new(), || ()).await, Some(Answer::Accepted));
}

#[tokio::test]
async fn a_stop_ends_the_probe_and_the_wait_for_the_app_at_once() {
    let app = app([Act::Stall]).await;
    let stop = Stop::new();
    stop.finish();
    let channel = channel(app.port);
    assert_eq!(channel.until_answered(&route(), &stop, || ()).await, None);
    assert!(!channel.port().wait_until_up(&stop).await);
}

#[tokio::test]
async fn a_health_check_is_a_get_that_2xx_answers() {
    let mut app = app([answer("204 No Content"), answer("503 Busy"), Act::CloseUnanswered]).await;
    let probe = channel(app.port).health_probe("health/ready?full", Duration::from_secs(300));
    assert_eq!(probe.check().await, Ok(()));
    assert_eq!(probe.check().await, Err("Health check failed with status code: 503".to_owned()));
    let error = probe.check().await.unwrap_err();
    assert!(error.starts_with("Network error: the app closed the connection"), "{error}");
    let seen = app.seen.recv().await.unwrap();
    assert!(seen.head.starts_with("GET /health/ready?full HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("content-type"), None);
}

#[tokio::test]
async fn a_health_check_over_a_connection_that_the_app_closes_at_that_moment_is_repeated() {
    let ok = Act::Answer(OK.to_owned());
    let mut app = app([ok.clone(), Act::CloseUnanswered, ok]).await;
    let probe = channel(app.port).health_probe("/healthz", Duration::from_secs(300));
    for _ in 0..2 {
        assert_eq!(probe.check().await, Ok(()));
    }
    let connections: Vec<usize> = std::iter::from_fn(|| app.seen.try_recv().ok()).map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_health_check_does_not_wait_for_events() {
    let mut app = app([Act::Stall, Act::Answer(OK.to_owned())]).await;
    let channel =
        AppChannel::new(&AppSettings { max_connections: std::num::NonZeroUsize::MIN, ..settings(app.port) }).unwrap();
    let check = async {
        app.seen.recv().await.unwrap();
        channel.health_probe("/healthz", Duration::from_secs(300)).check().await
    };
    tokio::select! {
        _ = deliver(&channel, "a") => panic!("the event is never answered"),
        result = check => assert_eq!(result, Ok(())),
    }
}
