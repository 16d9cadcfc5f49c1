//! Credentials that change while a connection is in use.

use super::fake_aws::{FakeAws, timestamp_in};
use bindd::aws::kinesis::Writer;
use bindd::aws::{self, Connection, ConnectionSettings, IdentitySettings, IdentitySource};
use bindd::domain::{BindingError, FailureKind, NewRecord, RecordWriter};
use bindd::telemetry::Metrics;
use bindd::testing::until;
use bytes::Bytes;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The timeout of an attempt: so long that a slow machine does not fail a test.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

fn settings(fake_aws: &FakeAws, identity: IdentitySettings) -> ConnectionSettings {
    ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(fake_aws.url()),
        identity: IdentitySettings { sts_endpoint: Some(fake_aws.url()), ..identity },
        ..ConnectionSettings::default()
    }
}

async fn put(connection: &Connection) -> Result<(), BindingError> {
    let writer = Writer::new(connection, "orders".parse().unwrap(), ATTEMPT_TIMEOUT);
    let key = Some("k".parse().unwrap());
    let record = NewRecord { data: Bytes::from_static(b"x"), partition_key: key, explicit_hash_key: None };
    writer.put(&record, None).await.map(drop)
}

fn keys_file(path: &Path, key: &str) {
    let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
    // Replaced by a rename, as Kubernetes does with a mounted secret.
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Sends calls until one is signed by `key`.
async fn until_signed_by(fake_aws: &FakeAws, connection: &Connection, key: &str) {
    until(&format!("a call signed by {key}"), async || {
        put(connection).await.unwrap();
        (fake_aws.calls("PutRecord").last().unwrap().key == key).then_some(())
    })
    .await;
}

fn process(folder: &TempDir, key: &str, lifetime: i64) -> IdentitySettings {
    print_keys(folder, key, lifetime);
    let source = IdentitySource::Process(format!("cat {}", folder.path().join("keys.json").display()).into());
    IdentitySettings { source, ..IdentitySettings::default() }
}

fn print_keys(folder: &TempDir, key: &str, lifetime: i64) {
    let text = format!(
        r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"s","SessionToken":"t","Expiration":"{}"}}"#,
        timestamp_in(lifetime)
    );
    fs::write(folder.path().join("keys.json"), text).unwrap();
}

#[tokio::test]
async fn a_credentials_file_is_read_again_after_rotation() {
    let (fake_aws, folder) = (FakeAws::start().await, TempDir::new().unwrap());
    let path = folder.path().join("credentials");
    keys_file(&path, "AKIAFIRST0000001");
    let identity = IdentitySettings { credentials_file: Some(path.clone()), ..IdentitySettings::default() };
    let metrics = Metrics::new();
    let settings = ConnectionSettings { metrics: Some(metrics.credentials("orders")), ..settings(&fake_aws, identity) };
    let connection = aws::connect(&settings).await.unwrap();
    put(&connection).await.unwrap();
    assert_eq!(fake_aws.calls("PutRecord").last().unwrap().key, "AKIAFIRST0000001");
    keys_file(&path, "AKIASECOND000002");
    until_signed_by(&fake_aws, &connection, "AKIASECOND000002").await;
    // The old credentials stay in use while the file is broken.
    let failed = r#"bindd_credentials_loads_total{component="orders",outcome="failed"} "#;
    assert!(!metrics.page().unwrap().contains(failed));
    fs::write(&path, "[default").unwrap();
    until("the broken file to be read", async || metrics.page().unwrap().contains(failed).then_some(())).await;
    put(&connection).await.unwrap();
    assert_eq!(fake_aws.calls("PutRecord").last().unwrap().key, "AKIASECOND000002");
    keys_file(&path, "AKIATHIRD0000003");
    until_signed_by(&fake_aws, &connection, "AKIATHIRD0000003").await;
}

#[tokio::test]
async fn after_a_rejected_token_credentials_are_loaded_again_and_the_call_is_retried() {
    let (fake_aws, folder) = (FakeAws::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 3_600);
    let connection = aws::connect(&settings(&fake_aws, identity)).await.unwrap();
    put(&connection).await.unwrap();
    fake_aws.reject_key("ASIAOLD000000001");
    print_keys(&folder, "ASIANEW000000002", 3_600);
    // Many concurrent calls: all succeed, and credentials are loaded once.
    let puts = futures_util::future::join_all((0..50).map(|_| put(&connection))).await;
    assert!(puts.iter().all(Result::is_ok), "{puts:?}");
    let calls = fake_aws.calls("PutRecord");
    assert_eq!(calls.last().unwrap().key, "ASIANEW000000002");
    assert!(calls.len() <= 101, "each call is sent twice at most: {}", calls.len());
}

#[tokio::test]
async fn a_lasting_rejection_is_reported_and_does_not_cause_a_retry_storm() {
    let (fake_aws, folder) = (FakeAws::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 3_600);
    let connection = aws::connect(&settings(&fake_aws, identity)).await.unwrap();
    fake_aws.reject_key("ASIAOLD000000001");
    for _ in 0..20 {
        let error = put(&connection).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Denied, "{error}");
        assert!(error.message().contains("ExpiredTokenException"), "{error}");
    }
    let sent = fake_aws.calls("PutRecord").len();
    assert!((21..=24).contains(&sent), "one reload, so about one call twice: {sent}");
}

#[tokio::test]
async fn other_failures_are_not_retried_by_the_connection() {
    let (fake_aws, folder) = (FakeAws::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 3_600);
    let connection = aws::connect(&settings(&fake_aws, identity)).await.unwrap();
    fake_aws.deny("PutRecord");
    assert_eq!(put(&connection).await.unwrap_err().kind(), FailureKind::Denied);
    assert_eq!(fake_aws.calls("PutRecord").len(), 1);
}

#[tokio::test]
async fn a_session_is_renewed_before_it_expires() {
    let fake_aws = FakeAws::start().await;
    // A lifetime of 6 s is below the minimum, so the session counts as valid for a minute and is renewed after half of it.
    fake_aws.set_lifetime(6);
    let identity = IdentitySettings {
        source: IdentitySource::Chain,
        roles: vec!["arn:aws:iam::123456789012:role/writer".to_owned()],
        ..IdentitySettings::default()
    };
    let keys = aws::StaticCredentials {
        access_key: "AKIAFILE00000001".to_owned(),
        secret_key: "s".into(),
        session_token: None,
    };
    let connection =
        aws::connect(&ConnectionSettings { credentials: Some(keys), ..settings(&fake_aws, identity) }).await.unwrap();
    put(&connection).await.unwrap();
    assert_eq!(fake_aws.calls("PutRecord").last().unwrap().key, "ASIASESSION00001");
    // A paused clock would stop the servers too, so it is paused only to jump.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    until_signed_by(&fake_aws, &connection, "ASIASESSION00002").await;
}

#[tokio::test]
async fn credentials_are_used_until_they_expire_when_renewal_fails() {
    let (fake_aws, folder) = (FakeAws::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 120);
    let connection = aws::connect(&settings(&fake_aws, identity)).await.unwrap();
    put(&connection).await.unwrap();
    fs::remove_file(folder.path().join("keys.json")).unwrap();
    let jump = async |seconds: u64| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };
    // After the renewal time, before the expiration.
    jump(70).await;
    put(&connection).await.unwrap();
    jump(51).await;
    let error = until("the credentials to be gone", async || put(&connection).await.err()).await;
    assert_eq!(error.kind(), FailureKind::Unavailable, "{error}");
    assert!(error.message().contains("credential process: "), "{error}");
    // It recovers without a restart.
    print_keys(&folder, "ASIANEW000000002", 3_600);
    until("the credentials to come back", async || {
        // The process that prints them runs in real time, so the clock jumps in small steps.
        jump(1).await;
        put(&connection).await.ok()
    })
    .await;
    assert_eq!(fake_aws.calls("PutRecord").last().unwrap().key, "ASIANEW000000002");
}

#[tokio::test]
async fn fail_fast_waits_for_the_first_credentials() {
    let (fake_aws, folder) = (FakeAws::start().await, TempDir::new().unwrap());
    let missing =
        IdentitySettings { credentials_file: Some(folder.path().join("none")), ..IdentitySettings::default() };
    let fast = ConnectionSettings { fail_fast: true, ..settings(&fake_aws, missing) };
    let error = aws::connect(&fast).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    assert!(error.message().contains("/none cannot be read"), "{error}");
    let there =
        ConnectionSettings { fail_fast: true, ..settings(&fake_aws, process(&folder, "ASIAOLD000000001", 3_600)) };
    assert!(aws::connect(&there).await.is_ok());
}
