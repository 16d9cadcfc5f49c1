use super::super::{IdentitySettings, IdentitySource, StaticCredentials};
use super::*;
use crate::domain::Outcome;

fn settings() -> ConnectionSettings {
    ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        credentials: Some(StaticCredentials {
            access_key: "key".to_owned(),
            secret_key: "topsecret".into(),
            session_token: None,
        }),
        ..ConnectionSettings::default()
    }
}

#[tokio::test]
async fn the_connection_prints_no_secret() {
    let connection = connect(&settings()).await.unwrap();
    let text = format!("{connection:?}");
    assert!(text.contains("eu-central-1") && !text.contains("topsecret"), "{text}");
}

#[tokio::test]
async fn a_bad_ca_bundle_is_named() {
    let path = "/nowhere/ca.pem".into();
    let error = connect(&ConnectionSettings { ca_bundle: Some(path), ..settings() }).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Caller);
    assert!(error.message().contains("/nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn open_calls_are_bounded() {
    let bounded = ConnectionSettings { max_connections: NonZeroUsize::new(1), ..settings() };
    let connection = connect(&bounded).await.unwrap();
    let first = connection.permit().await;
    let mut second = Box::pin(connection.permit());
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    assert!(second.await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_over_the_limit_gives_up_before_its_deadline() {
    let bounded = ConnectionSettings { max_connections: NonZeroUsize::new(1), ..settings() };
    let connection = connect(&bounded).await.unwrap();
    let other_side = connection.with_own_call_limit();
    let _first = connection.permit().await;
    let deadline = Instant::now() + Duration::from_secs(3);
    let refused = connection.permit_before(deadline).await.unwrap_err();
    assert_eq!((refused.kind(), refused.outcome()), (FailureKind::Throttled, Outcome::NotDone));
    assert!(Instant::now() < deadline, "it gives up earlier, so that no other timeout ends the wait");
    let _second = other_side.permit_before(deadline).await.unwrap().unwrap();
    assert!(other_side.permit_before(deadline - Duration::from_secs(9)).await.is_err(), "it has the same limit");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_credentials_gives_up_before_its_deadline() {
    let slow = IdentitySettings { source: IdentitySource::Process("sleep 3".into()), ..IdentitySettings::default() };
    let connection = connect(&ConnectionSettings { credentials: None, identity: slow, ..settings() }).await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(200);
    let refused = connection.permit_before(deadline).await.unwrap_err();
    assert_eq!((refused.kind(), refused.outcome()), (FailureKind::Unavailable, Outcome::NotDone), "{refused}");
    assert!(Instant::now() < deadline && refused.retry_after().is_some());
}

#[tokio::test]
async fn keys_that_cannot_be_signed_with_are_refused_before_any_call() {
    let with = |access_key: &str| {
        let keys = StaticCredentials {
            access_key: access_key.to_owned(),
            secret_key: "topsecret".into(),
            session_token: None,
        };
        ConnectionSettings { credentials: Some(keys), ..settings() }
    };
    let error = connect(&with("topsecret\nkey")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Caller);
    assert!(error.message().contains("access key id") && !error.message().contains("topsecret"), "{error}");
    assert!(connect(&with("key\n")).await.is_ok());
}

#[tokio::test]
async fn a_request_that_cannot_be_addressed_was_not_sent() {
    let lost = ConnectionSettings { endpoint: Some("http://no host".to_owned()), ..settings() };
    let connection = connect(&lost).await.unwrap();
    let failed = connection.kinesis().list_shards().stream_name("orders").send().await.unwrap_err();
    let failed = super::super::failure::classify("Kinesis: ListShards", failed);
    assert_eq!((failed.kind, failed.outcome), (FailureKind::Caller, Outcome::NotDone), "{}", failed.text);
    assert!(failed.text.contains("the request cannot be sent: "), "{}", failed.text);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_credentials_until_its_end_was_not_sent() {
    let slow = IdentitySettings { source: IdentitySource::Process("sleep 3".into()), ..IdentitySettings::default() };
    let connection = connect(&ConnectionSettings { credentials: None, identity: slow, ..settings() }).await.unwrap();
    let client = connection.kinesis_within(Duration::from_millis(1));
    let failed = client.list_shards().stream_name("orders").send().await.unwrap_err();
    let failed = super::super::failure::classify("Kinesis: ListShards", failed);
    assert_eq!(failed.outcome, Outcome::NotDone, "{}", failed.text);
}

#[tokio::test]
async fn a_call_whose_server_reads_nothing_ends_at_its_limit() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", server.local_addr().unwrap()));
    let connection = connect(&ConnectionSettings { endpoint, ..settings() }).await.unwrap();
    let client = connection.kinesis_within(Duration::from_millis(100));
    // More than the buffers of both sockets hold, so that the request stalls midway.
    let data = vec![b'x'; 16 << 20].into();
    let call = client.put_record().stream_name("orders").partition_key("key").data(data).send();
    let failed = tokio::time::timeout(Duration::from_secs(4), call).await.unwrap().unwrap_err();
    let failed = super::super::failure::classify("Kinesis: PutRecord", failed);
    assert_eq!((failed.kind, failed.outcome), (FailureKind::TimedOut, Outcome::Unknown), "{}", failed.text);
}

#[test]
fn a_variable_with_an_invalid_endpoint_is_named() {
    struct One(&'static str);
    impl Environment for One {
        fn get(&self, name: &str) -> Option<String> {
            (name == self.0).then(|| "http://127.0.0.1:1 ".to_owned())
        }
    }
    let of_environment = ConnectionSettings { endpoint: None, ..settings() };
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_STS"] {
        let error = check_endpoint_variables(&of_environment, &One(name)).unwrap_err();
        assert!(error.message().starts_with(&format!("{name} has white space")), "{error}");
    }
    assert!(check_endpoint_variables(&settings(), &One("AWS_ENDPOINT_URL")).is_ok(), "the file's own endpoint counts");
}
