//! Credentials that change under way, in this process.

use super::cloud::{Cloud, moment};
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

/// How long an attempt may take: longer than any on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(cloud: &Cloud, identity: IdentitySettings) -> ConnectionSettings {
    ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(cloud.url()),
        identity: IdentitySettings { sts_endpoint: Some(cloud.url()), ..identity },
        ..ConnectionSettings::default()
    }
}

async fn put(connection: &Connection) -> Result<(), BindingError> {
    let writer = Writer::new(connection, "orders".parse().unwrap(), PATIENCE);
    let key = Some("k".parse().unwrap());
    let record = NewRecord { data: Bytes::from_static(b"x"), partition_key: key, explicit_hash_key: None };
    writer.put(&record, None).await.map(drop)
}

fn keys_file(path: &Path, key: &str) {
    let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
    // As a mounted secret is renewed: a new file takes the name.
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Calls that go on until one is signed by `key`.
async fn until_signed_by(cloud: &Cloud, connection: &Connection, key: &str) {
    until(&format!("a call signed by {key}"), async || {
        put(connection).await.unwrap();
        (cloud.calls("PutRecord").last().unwrap().key == key).then_some(())
    })
    .await;
}

fn process(folder: &TempDir, key: &str, life: i64) -> IdentitySettings {
    print_keys(folder, key, life);
    let source = IdentitySource::Process(format!("cat {}", folder.path().join("keys.json").display()).into());
    IdentitySettings { source, ..IdentitySettings::default() }
}

fn print_keys(folder: &TempDir, key: &str, life: i64) {
    let text = format!(
        r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"s","SessionToken":"t","Expiration":"{}"}}"#,
        moment(life)
    );
    fs::write(folder.path().join("keys.json"), text).unwrap();
}

#[tokio::test]
async fn a_credentials_file_is_read_again_after_rotation() {
    let (cloud, folder) = (Cloud::start().await, TempDir::new().unwrap());
    let path = folder.path().join("credentials");
    keys_file(&path, "AKIAFIRST0000001");
    let identity = IdentitySettings { credentials_file: Some(path.clone()), ..IdentitySettings::default() };
    let metrics = Metrics::new();
    let settings = ConnectionSettings { metrics: Some(metrics.credentials("orders")), ..settings(&cloud, identity) };
    let connection = aws::connect(&settings).await.unwrap();
    put(&connection).await.unwrap();
    assert_eq!(cloud.calls("PutRecord").last().unwrap().key, "AKIAFIRST0000001");
    keys_file(&path, "AKIASECOND000002");
    until_signed_by(&cloud, &connection, "AKIASECOND000002").await;
    // A file that is broken for a while does not take away what is held.
    let failed = r#"bindd_credentials_loads_total{component="orders",outcome="failed"} "#;
    assert!(!metrics.page().unwrap().contains(failed));
    fs::write(&path, "[default").unwrap();
    until("the broken file to be read", async || metrics.page().unwrap().contains(failed).then_some(())).await;
    put(&connection).await.unwrap();
    assert_eq!(cloud.calls("PutRecord").last().unwrap().key, "AKIASECOND000002");
    keys_file(&path, "AKIATHIRD0000003");
    until_signed_by(&cloud, &connection, "AKIATHIRD0000003").await;
}

#[tokio::test]
async fn a_refused_token_is_loaded_again_and_the_call_sent_once_more() {
    let (cloud, folder) = (Cloud::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 3_600);
    let connection = aws::connect(&settings(&cloud, identity)).await.unwrap();
    put(&connection).await.unwrap();
    cloud.refuse("ASIAOLD000000001");
    print_keys(&folder, "ASIANEW000000002", 3_600);
    // Many at once: each of them is answered well, and the source is asked once.
    let puts = futures_util::future::join_all((0..50).map(|_| put(&connection))).await;
    assert!(puts.iter().all(Result::is_ok), "{puts:?}");
    let calls = cloud.calls("PutRecord");
    assert_eq!(calls.last().unwrap().key, "ASIANEW000000002");
    assert!(calls.len() <= 101, "each call is sent twice at most: {}", calls.len());
}

#[tokio::test]
async fn a_lasting_refusal_is_told_and_does_not_become_a_storm() {
    let (cloud, folder) = (Cloud::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 3_600);
    let connection = aws::connect(&settings(&cloud, identity)).await.unwrap();
    cloud.refuse("ASIAOLD000000001");
    for _ in 0..20 {
        let error = put(&connection).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Denied, "{error}");
        assert!(error.message().contains("ExpiredTokenException"), "{error}");
    }
    let sent = cloud.calls("PutRecord").len();
    assert!((21..=24).contains(&sent), "one reload, so about one call twice: {sent}");
}

#[tokio::test]
async fn other_failures_are_not_repeated_below_the_engines() {
    let (cloud, folder) = (Cloud::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 3_600);
    let connection = aws::connect(&settings(&cloud, identity)).await.unwrap();
    cloud.deny("PutRecord");
    assert_eq!(put(&connection).await.unwrap_err().kind(), FailureKind::Denied);
    assert_eq!(cloud.calls("PutRecord").len(), 1);
}

#[tokio::test]
async fn a_session_is_renewed_before_its_end_and_calls_do_not_wait() {
    let cloud = Cloud::start().await;
    // Six seconds of life: too short to be believed, so it is taken for a minute, and renewed after half of that.
    cloud.lives(6);
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
        aws::connect(&ConnectionSettings { credentials: Some(keys), ..settings(&cloud, identity) }).await.unwrap();
    put(&connection).await.unwrap();
    assert_eq!(cloud.calls("PutRecord").last().unwrap().key, "ASIASESSION00001");
    // Time stands still for the servers' sockets too, so it is let jump only here.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    until_signed_by(&cloud, &connection, "ASIASESSION00002").await;
}

#[tokio::test]
async fn what_is_held_is_kept_to_its_end_when_renewal_fails() {
    let (cloud, folder) = (Cloud::start().await, TempDir::new().unwrap());
    let identity = process(&folder, "ASIAOLD000000001", 120);
    let connection = aws::connect(&settings(&cloud, identity)).await.unwrap();
    put(&connection).await.unwrap();
    fs::remove_file(folder.path().join("keys.json")).unwrap();
    let jump = async |seconds: u64| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };
    // Past the time of renewal, before the end.
    jump(70).await;
    put(&connection).await.unwrap();
    jump(51).await;
    let error = until("the credentials to be gone", async || put(&connection).await.err()).await;
    assert_eq!(error.kind(), FailureKind::Unavailable, "{error}");
    assert!(error.message().contains("credential process: "), "{error}");
    // And it comes back by itself.
    print_keys(&folder, "ASIANEW000000002", 3_600);
    until("the credentials to come back", async || {
        // The process that prints them runs in real time, so the clock jumps in small steps.
        jump(1).await;
        put(&connection).await.ok()
    })
    .await;
    assert_eq!(cloud.calls("PutRecord").last().unwrap().key, "ASIANEW000000002");
}

#[tokio::test]
async fn fail_fast_waits_for_the_first_credentials() {
    let (cloud, folder) = (Cloud::start().await, TempDir::new().unwrap());
    let missing =
        IdentitySettings { credentials_file: Some(folder.path().join("none")), ..IdentitySettings::default() };
    let fast = ConnectionSettings { fail_fast: true, ..settings(&cloud, missing) };
    let error = aws::connect(&fast).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    assert!(error.message().contains("/none cannot be read"), "{error}");
    let there = ConnectionSettings { fail_fast: true, ..settings(&cloud, process(&folder, "ASIAOLD000000001", 3_600)) };
    assert!(aws::connect(&there).await.is_ok());
}
