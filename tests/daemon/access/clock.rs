//! A local clock that is minutes off. The tests move the clock of the servers instead, which has the same effect.

use super::fake_aws::FakeAws;
use super::program::Program;
use super::unavailable::{FLAGS, http_address, post};
use bindd::aws::kinesis::Writer;
use bindd::aws::lease_table::LeaseTable;
use bindd::aws::{self, CallSts, Connection, ConnectionSettings, IdentitySettings, StaticCredentials};
use bindd::domain::{BindingError, FailureKind, LeaseStore, NewRecord, RecordWriter};
use bindd::testing::until;
use bytes::Bytes;
use std::fs::{self, File};
use std::time::Duration;

/// Behind and ahead, by more than the five minutes that AWS allows, in seconds.
const OFFSETS: [i64; 3] = [432, -432, 7_500];

async fn connection(fake_aws: &FakeAws, roles: &[&str]) -> Connection {
    let keys =
        StaticCredentials { access_key: "AKIAFILE00000001".to_owned(), secret_key: "s".into(), session_token: None };
    let identity = IdentitySettings {
        sts_endpoint: Some(fake_aws.url()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..IdentitySettings::default()
    };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(fake_aws.url()),
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
async fn kinesis_calls_recover_and_later_ones_succeed_on_the_first_attempt() {
    for offset in OFFSETS {
        let fake_aws = FakeAws::start().await;
        fake_aws.set_clock_offset(offset);
        let writer = writer(&connection(&fake_aws, &[]).await);
        for _ in 0..3 {
            put(&writer).await.unwrap();
        }
        assert_eq!(fake_aws.calls("PutRecord").len(), 4, "{offset}: the first was sent twice");
        // The clock is corrected while the program runs.
        fake_aws.set_clock_offset(0);
        put(&writer).await.unwrap();
    }
}

#[tokio::test]
async fn dynamodb_calls_recover() {
    for offset in OFFSETS {
        let fake_aws = FakeAws::start().await;
        fake_aws.set_clock_offset(offset);
        let leases = LeaseTable::new(&connection(&fake_aws, &[]).await, "orders".to_owned(), Duration::from_secs(60));
        let error = leases.list().await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::NotFound, "{offset}: {error}");
    }
}

#[tokio::test]
async fn sts_calls_recover_and_keep_the_session() {
    for offset in OFFSETS {
        let fake_aws = FakeAws::start().await;
        fake_aws.set_clock_offset(offset);
        let connection = connection(&fake_aws, &["arn:aws:iam::123456789012:role/writer"]).await;
        let identity = connection.identity(Duration::from_secs(20), CallSts::Yes).await.unwrap();
        assert!(identity.contains("assumed-role/writer"), "{identity}");
        put(&writer(&connection)).await.unwrap();
        let assumed = fake_aws.calls("AssumeRole").len();
        assert_eq!(
            assumed, 2,
            "{offset}: rejected once for its time, and not loaded again after the rejected PutRecord"
        );
    }
}

#[tokio::test]
async fn one_log_line_names_the_difference_and_the_remedy() {
    let fake_aws = FakeAws::start().await;
    fake_aws.set_clock_offset(-432);
    let url = fake_aws.url();
    let program = Program::new(&[("accessKey", "AKIAFILE00000001"), ("secretKey", "s"), ("endpoint", &url)]);
    let log = program.path("log");
    let mut child = program.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || http_address(&fs::read_to_string(&log).unwrap())).await;
    for _ in 0..3 {
        let response = post(address).await;
        assert!(response.starts_with("HTTP/1.1 204"), "{response}");
    }
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("local clock differs")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains("7 min 1") && lines[0].contains(" s ahead") && lines[0].contains("NTP"), "{text}");
    child.kill().await.unwrap();
}
