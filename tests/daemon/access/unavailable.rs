//! A sidecar that starts before its credentials are there.

use super::cloud::{CONTAINER_TOKEN, Cloud};
use super::program::Bench;
use bindd::testing::{until, within};
use std::fs::{self, File};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const FLAGS: [&str; 6] =
    ["--app-id", "shop", "--dapr-http-port", "0", "--enable-metrics=false", "--log-as-json"];

fn in_container(cloud: &Cloud, items: &[(&str, &str)]) -> Bench {
    let url = cloud.url();
    let items: Vec<_> = items.iter().copied().chain([("endpoint", url.as_str()), ("requestTimeout", "1s")]).collect();
    let bench = Bench::new(&items).file("token", CONTAINER_TOKEN);
    let token = bench.path("token").display().to_string();
    bench
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
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(crate) fn served_at(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("bindd is serving"))?;
    let fields: serde_json::Value = serde_json::from_str(line).ok()?;
    fields["addresses"].as_str()?.trim_matches(['[', ']']).parse().ok()
}

#[tokio::test]
async fn a_sidecar_answers_503_until_there_are_credentials() {
    let cloud = Cloud::start().await;
    cloud.container_gives(None);
    let bench = in_container(&cloud, &[]);
    let log = bench.path("log");
    let mut child = bench.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || served_at(&fs::read_to_string(&log).unwrap())).await;
    let answer = until("the sources to be asked", async || {
        Some(post(address).await).filter(|answer| answer.contains("container: "))
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nretry-after: "), "{answer}");
    assert!(answer.contains("no AWS credentials found: environment: "), "{answer}");
    cloud.container_gives(Some("ASIACONTAINER0002"));
    until("a record to be taken", async || {
        Some(post(address).await).filter(|answer| answer.starts_with("HTTP/1.1 204"))
    })
    .await;
    assert_eq!(cloud.calls("PutRecord").pop().unwrap().key, "ASIACONTAINER0002");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn with_fail_fast_the_start_fails_as_daprs_does() {
    let cloud = Cloud::start().await;
    cloud.container_gives(None);
    let bench = in_container(&cloud, &[("failFast", "true")]);
    let output = within("the program to end", bench.command(&FLAGS).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("component orders could not be connected: no AWS credentials found"), "{text}");
}

/// The lines of a log with this text.
fn lines(log: &std::path::Path, text: &str) -> Vec<String> {
    fs::read_to_string(log).unwrap().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_no_unknown_outcome() {
    let cloud = Cloud::start().await;
    let url = cloud.url();
    let bench = Bench::new(&[("endpoint", url.as_str()), ("requestTimeout", "1s")])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1")
        .with("AWS_SECRET_ACCESS_KEY", "s")
        .with("AWS_SESSION_TOKEN", "tops\necret");
    let log = bench.path("log");
    let mut child = bench.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || served_at(&fs::read_to_string(&log).unwrap())).await;
    let answer = until("the source to be asked", async || {
        Some(post(address).await).filter(|answer| answer.contains("environment: "))
    })
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("the session token has a control character"),
        "{answer}"
    );
    assert!(
        !answer.contains("ambiguous") && !answer.contains("ecret\\") && cloud.calls("PutRecord").is_empty(),
        "{answer}"
    );
    assert!(lines(&log, "panicked").is_empty() && lines(&log, "tops").is_empty());
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_trimmed_key_is_logged_once() {
    let cloud = Cloud::start().await;
    let url = cloud.url();
    let bench = Bench::new(&[("endpoint", url.as_str())])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1\n")
        .with("AWS_SECRET_ACCESS_KEY", "s");
    let log = bench.path("log");
    let mut child = bench.command(&FLAGS).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let address = until("the program to serve", async || served_at(&fs::read_to_string(&log).unwrap())).await;
    assert!(post(address).await.starts_with("HTTP/1.1 204"));
    assert_eq!(cloud.calls("PutRecord").pop().unwrap().key, "AKIAENVIRONMENT1");
    // Refused credentials are loaded again, which says nothing new.
    cloud.refuse("AKIAENVIRONMENT1");
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
