//! A stream that has reached its limit of registered consumers.

use super::fake_aws::FakeAws;
use super::program::Program;
use super::unavailable::FLAGS;
use bindd::aws::kinesis::FanOut;
use bindd::aws::{self, ConnectionSettings, StaticCredentials};
use bindd::testing::until;
use std::fs::{self, File};
use std::net::TcpListener;

#[tokio::test]
async fn the_registration_of_a_consumer_is_retried() {
    for code in ["LimitExceededException", "ResourceInUseException", "ThrottlingException"] {
        let fake_aws = FakeAws::start().await;
        fake_aws.reject_consumers(code, 2);
        let keys = StaticCredentials {
            access_key: "AKIAFILE00000001".to_owned(),
            secret_key: "s".into(),
            session_token: None,
        };
        let settings = ConnectionSettings {
            region: Some("eu-central-1".to_owned()),
            endpoint: Some(fake_aws.url()),
            credentials: Some(keys),
            ..ConnectionSettings::default()
        };
        let connection = aws::connect(&settings).await.unwrap();
        let fan_out = FanOut::register(&connection, "orders".parse().unwrap(), "shop").await.unwrap();
        assert!(fan_out.consumer_arn().ends_with("consumer/shop:1"));
        assert_eq!(fake_aws.calls("RegisterStreamConsumer").len(), 3, "{code}");
        assert_eq!(fake_aws.calls("DescribeStreamSummary").len(), 1, "{code}");
    }
}

#[tokio::test]
async fn the_first_rejection_at_the_limit_is_logged_with_a_remedy() {
    let fake_aws = FakeAws::start().await;
    fake_aws.reject_consumers("LimitExceededException", usize::MAX);
    let url = fake_aws.url();
    let program = Program::new(&[
        ("accessKey", "AKIAFILE00000001"),
        ("secretKey", "s"),
        ("endpoint", &url),
        ("direction", "input"),
        ("mode", "extended"),
        ("consumerName", "shop"),
    ]);
    // The app only needs a port that accepts connections.
    let app = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = app.local_addr().unwrap().port().to_string();
    let log = program.path("log");
    let mut command = program.command(&FLAGS);
    let mut child = command.args(["--app-port", &port]).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let line = until("the rejection to be logged", async || {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().find(|line| line.contains("stream consumer was not registered")).map(str::to_owned)
    })
    .await;
    for part in ["warning", "orders", "shop", "20 consumers", "deregister", "mode: shared", "LimitExceededException"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    child.kill().await.unwrap();
}
