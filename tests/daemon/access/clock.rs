//! A local clock that is minutes off. The servers' clock is moved instead, which looks the same.

use super::cloud::Cloud;
use super::program::Bench;
use super::unavailable::{FLAGS, post, served_at};
use bindd::aws::kinesis::Writer;
use bindd::aws::{self, CallSts, Connection, ConnectionSettings, IdentitySettings, StaticCredentials};
use bindd::cli::probe_calls::TableProbe;
use bindd::domain::{BindingError, FailureKind, NewRecord, RecordWriter};
use bindd::testing::until;
use bytes::Bytes;
use std::fs::{self, File};
use std::time::Duration;

/// Behind and ahead, by more than the five minutes that AWS allows.
const OFFSETS: [i64; 3] = [432, -432, 7_500];

async fn connection(cloud: &Cloud, roles: &[&str]) -> Connection {
    let keys =
        StaticCredentials { access_key: "AKIAFILE00000001".to_owned(), secret_key: "s".into(), session_token: None };
    let identity = IdentitySettings {
        sts_endpoint: Some(cloud.url()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..IdentitySettings::default()
    };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(cloud.url()),
        credentials: Some(keys),
        identity,
        ..ConnectionSettings::default()
    };
    aws::connect(&settings).await.unwrap()
}

fn writer(connection: &Connection) -> Writer {
    Writer::new(connection, "orders".parse().unwrap(), Duration::from_secs(5))
}

async fn put(writer: &Writer) -> Result<(), BindingError> {
    let key = Some("k".parse().unwrap());
    let record = NewRecord { data: Bytes::from_static(b"x"), partition_key: key, explicit_hash_key: None };
    writer.put(&record, None).await.map(drop)
}

#[tokio::test]
async fn kinesis_calls_recover_and_later_ones_are_signed_right_at_once() {
    for offset in OFFSETS {
        let cloud = Cloud::start().await;
        cloud.clock_is(offset);
        let writer = writer(&connection(&cloud, &[]).await);
        for _ in 0..3 {
            put(&writer).await.unwrap();
        }
        assert_eq!(cloud.calls("PutRecord").len(), 4, "{offset}: the first was sent twice");
        // The clock is set right while the program runs.
        cloud.clock_is(0);
        put(&writer).await.unwrap();
    }
}

#[tokio::test]
async fn dynamodb_calls_recover() {
    for offset in OFFSETS {
        let cloud = Cloud::start().await;
        cloud.clock_is(offset);
        let error = TableProbe::new(&connection(&cloud, &[]).await, "orders").describe().await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::NotFound, "{offset}: {error}");
    }
}

#[tokio::test]
async fn sts_calls_recover_and_a_session_is_not_blamed() {
    for offset in OFFSETS {
        let cloud = Cloud::start().await;
        cloud.clock_is(offset);
        let connection = connection(&cloud, &["arn:aws:iam::123456789012:role/writer"]).await;
        let identity = connection.identity(Duration::from_secs(20), CallSts::Yes).await.unwrap();
        assert!(identity.contains("assumed-role/writer"), "{identity}");
        put(&writer(&connection)).await.unwrap();
        let assumed = cloud.calls("AssumeRole").len();
        assert_eq!(assumed, 2, "{offset}: refused once for its time, and not loaded again by the refusal of PutRecord");
    }
}

#[tokio::test]
async fn one_line_of_the_log_says_by_how_much_and_what_to_do() {
    let cloud = Cloud::start().await;
    cloud.clock_is(-432);
    let url = cloud.url();
    let bench = Bench::new(&[("accessKey", "AKIAFILE00000001"), ("secretKey", "s"), ("endpoint", &url)]);
    let log = bench.path("log");
    let mut child = bench.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || served_at(&fs::read_to_string(&log).unwrap())).await;
    for _ in 0..3 {
        let answer = post(address).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("local clock differs")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains("7 min 1") && lines[0].contains(" s ahead") && lines[0].contains("NTP"), "{text}");
    child.kill().await.unwrap();
}
