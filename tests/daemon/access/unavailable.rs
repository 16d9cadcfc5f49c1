//! A sidecar that starts before credentials are available.

use super::fake_aws::{CONTAINER_TOKEN, FakeAws};
use super::program::Program;
use bindd::testing::{until, within};
use std::fs::{self, File};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const FLAGS: [&str; 8] =
    ["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--enable-metrics=false", "--log-as-json"];

fn in_container(fake_aws: &FakeAws, items: &[(&str, &str)]) -> Program {
    let url = fake_aws.url();
    let items: Vec<_> = items.iter().copied().chain([("endpoint", url.as_str()), ("requestTimeout", "1s")]).collect();
    let program = Program::new(&items).file("token", CONTAINER_TOKEN);
    let token = program.path("token").display().to_string();
    program
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{url}/container"))
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
}

pub(crate) async fn post(address: SocketAddr) -> String {
    let body = r#"{"operation":"create","data":1}"#;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1.0/bindings/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    response
}

pub(crate) fn http_address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("bindd is serving"))?;
    let fields: serde_json::Value = serde_json::from_str(line).ok()?;
    fields["addresses"].as_str()?.trim_matches(['[', ']']).parse().ok()
}

#[tokio::test]
async fn a_sidecar_answers_503_until_credentials_are_available() {
    let fake_aws = FakeAws::start().await;
    fake_aws.set_container_key(None);
    let program = in_container(&fake_aws, &[]);
    let log = program.path("log");
    let mut child = program.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || http_address(&fs::read_to_string(&log).unwrap())).await;
    let response = until("the credential sources to fail", async || {
        Some(post(address).await).filter(|response| response.contains("container: "))
    })
    .await;
    assert!(response.starts_with("HTTP/1.1 503"), "{response}");
    assert!(response.to_lowercase().contains("\r\nretry-after: "), "{response}");
    assert!(response.contains("no AWS credentials found: environment: "), "{response}");
    fake_aws.set_container_key(Some("ASIACONTAINER0002"));
    until("a record to be accepted", async || {
        Some(post(address).await).filter(|response| response.starts_with("HTTP/1.1 204"))
    })
    .await;
    assert_eq!(fake_aws.calls("PutRecord").pop().unwrap().key, "ASIACONTAINER0002");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn with_fail_fast_the_start_fails_as_in_dapr() {
    let fake_aws = FakeAws::start().await;
    fake_aws.set_container_key(None);
    let program = in_container(&fake_aws, &[("failFast", "true")]);
    let output = within("the program to end", program.command(&FLAGS).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("component orders could not be connected: no AWS credentials found"), "{text}");
}

/// The lines of a log that contain this text.
fn lines(log: &std::path::Path, text: &str) -> Vec<String> {
    fs::read_to_string(log).unwrap().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_not_an_unknown_outcome() {
    let fake_aws = FakeAws::start().await;
    let url = fake_aws.url();
    let program = Program::new(&[("endpoint", url.as_str()), ("requestTimeout", "1s")])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1")
        .with("AWS_SECRET_ACCESS_KEY", "s")
        .with("AWS_SESSION_TOKEN", "tops\necret");
    let log = program.path("log");
    let mut child = program.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || http_address(&fs::read_to_string(&log).unwrap())).await;
    let response = until("the credential source to fail", async || {
        Some(post(address).await).filter(|response| response.contains("environment: "))
    })
    .await;
    assert!(
        response.starts_with("HTTP/1.1 503") && response.contains("the session token has a control character"),
        "{response}"
    );
    assert!(
        !response.contains("ambiguous") && !response.contains("ecret\\") && fake_aws.calls("PutRecord").is_empty(),
        "{response}"
    );
    assert!(lines(&log, "panicked").is_empty() && lines(&log, "tops").is_empty());
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_trimmed_key_is_logged_once() {
    let fake_aws = FakeAws::start().await;
    let url = fake_aws.url();
    let program = Program::new(&[("endpoint", url.as_str())])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1\n")
        .with("AWS_SECRET_ACCESS_KEY", "s");
    let log = program.path("log");
    let mut child = program.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || http_address(&fs::read_to_string(&log).unwrap())).await;
    assert!(post(address).await.starts_with("HTTP/1.1 204"));
    assert_eq!(fake_aws.calls("PutRecord").pop().unwrap().key, "AKIAENVIRONMENT1");
    // Rejected credentials are loaded again, without a second warning.
    fake_aws.reject_key("AKIAENVIRONMENT1");
    until("the credentials to be loaded again", async || {
        post(address).await;
        // The second time is after the first load.
        (lines(&log, "they are loaded again").len() > 1).then_some(())
    })
    .await;
    let warned = lines(&log, "white space around a credential was removed");
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("AWS_ACCESS_KEY_ID") && warned[0].contains("environment"), "{warned:?}");
    child.kill().await.unwrap();
}
