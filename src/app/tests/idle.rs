//! Connections that are kept between requests, and what happens to those that the app closes.

use super::super::connection::Connection;
use super::super::endpoint::Endpoint;
use super::{Act, OK, app, channel, deliver};
use crate::domain::DeliveryError;
use crate::testing::until;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::time::Duration;

#[tokio::test]
async fn a_connection_closed_while_idle_is_not_used_again() {
    let mut app = app([Act::AnswerThenClose(OK.to_owned()), Act::Answer(OK.to_owned())]).await;
    let channel = channel(app.port);
    deliver(&channel, "a").await.unwrap();
    assert_eq!(app.closed.recv().await, Some(0));
    deliver(&channel, "b").await.unwrap();
    assert_eq!(app.seen.recv().await.unwrap().body, b"a");
    let second = app.seen.recv().await.unwrap();
    assert_eq!((second.body.as_slice(), second.connection), (b"b".as_slice(), 1));
}

#[tokio::test]
async fn an_idle_connection_that_ends_unanswered_is_an_error_and_the_next_request_opens_a_new_one() {
    let acts = [Act::Answer(OK.to_owned()), Act::CloseUnanswered, Act::Answer(OK.to_owned()), Act::CloseUnanswered];
    let mut app = app(acts).await;
    let channel = channel(app.port);
    deliver(&channel, "a").await.unwrap();
    let error = deliver(&channel, "b").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unanswered { was_idle: true, .. }), "{error:?}");
    deliver(&channel, "b").await.unwrap();
    let error = deliver(&channel, "c").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unanswered { was_idle: true, .. }), "{error:?}");
    let error = deliver(&channel, "c").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unanswered { was_idle: false, .. }), "{error:?}");
    let mut seen = Vec::new();
    while let Ok(one) = app.seen.try_recv() {
        seen.push((String::from_utf8(one.body).unwrap(), one.connection));
    }
    let expected = [("a", 0), ("b", 0), ("b", 1), ("c", 1), ("c", 2)];
    assert_eq!(seen, expected.map(|(body, connection)| (body.to_owned(), connection)));
}

#[tokio::test]
async fn one_broken_connection_closes_the_other_idle_ones() {
    // Two requests at once open two connections; the third request ends unanswered over one of them.
    let ok = Act::Answer(OK.to_owned());
    let mut app = app([ok.clone(), ok.clone(), Act::CloseUnanswered, ok]).await;
    let channel = channel(app.port);
    let both = tokio::join!(deliver(&channel, "a"), deliver(&channel, "b"));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(channel.reap_now(), 2);
    deliver(&channel, "c").await.unwrap_err();
    assert_eq!(channel.reap_now(), 0);
    deliver(&channel, "c").await.unwrap();
    let connections: Vec<usize> = std::iter::from_fn(|| app.seen.try_recv().ok()).map(|seen| seen.connection).collect();
    assert_eq!(connections[3], 2, "{connections:?}");
}

#[tokio::test]
async fn idle_connections_that_the_app_closed_are_dropped() {
    let app = app([Act::AnswerThenClose(OK.to_owned())]).await;
    let channel = channel(app.port);
    for _ in 0..3 {
        drop(tokio::join!(deliver(&channel, "a"), deliver(&channel, "b")));
    }
    until("no connection to be left", async || (channel.reap_now() == 0).then_some(())).await;
}

#[tokio::test]
async fn old_idle_connections_are_dropped_without_a_request() {
    let mut app = app([Act::Answer(OK.to_owned())]).await;
    let channel = channel(app.port);
    deliver(&channel, "a").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(89)).await;
    assert_eq!(channel.reap_now(), 1);
    tokio::select! {
        never = channel.reap_idle() => match never {},
        closed = app.closed.recv() => assert_eq!(closed, Some(0)),
    }
}

#[tokio::test]
async fn a_new_connection_that_ends_unanswered_is_an_error_without_a_retry() {
    let mut app = app([Act::CloseUnanswered]).await;
    assert!(matches!(deliver(&channel(app.port), "a").await, Err(DeliveryError::Unanswered { .. })));
    assert_eq!(app.seen.recv().await.unwrap().connection, 0);
    assert!(app.seen.is_empty());
}

#[tokio::test]
async fn a_request_is_not_repeated_after_part_of_its_answer_arrived() {
    let acts = [Act::Answer(OK.to_owned()), Act::AnswerThenClose("HTTP/1.1 200 O".to_owned())];
    let mut app = app(acts).await;
    let channel = channel(app.port);
    deliver(&channel, "a").await.unwrap();
    let error = deliver(&channel, "b").await.unwrap_err();
    assert!(matches!(error, DeliveryError::Unanswered { was_idle: false, .. }), "an answer had begun: {error:?}");
    assert_eq!(
        (app.seen.recv().await.unwrap().body, app.seen.recv().await.unwrap().body),
        (b"a".to_vec(), b"b".to_vec())
    );
    assert!(app.seen.is_empty());
}

#[tokio::test]
async fn close_closes_idle_connections() {
    let mut app = app([Act::Answer(OK.to_owned())]).await;
    let channel = channel(app.port);
    deliver(&channel, "a").await.unwrap();
    channel.close().await;
    assert_eq!(app.closed.recv().await, Some(0));
}

#[tokio::test]
async fn a_request_on_an_ended_connection_is_reported_as_not_written() {
    let app = app([Act::AnswerThenClose(OK.to_owned())]).await;
    let endpoint = Endpoint::new("127.0.0.1", app.port, false).unwrap();
    let mut connection = Connection::open(&endpoint).await.unwrap();
    let request = || Request::new(Full::new(Bytes::new()));
    let answer = connection.head(request()).await.unwrap();
    connection.finish(answer.into_body(), false).await;
    until("the end of the connection", async || (!connection.is_reusable()).then_some(())).await;
    let broken = connection.head(request()).await.unwrap_err();
    assert!(!broken.was_written && !broken.has_response && broken.invalid_response.is_none(), "{broken:?}");
}
