//! The AWS SDK for Java with its defaults against embedded Kinesis.

use crate::maven::{assert_success, build};
use bindd::embedded::{Aws, EmbeddedSettings};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_sdk_for_java_succeeds() {
    let classpath = build("", "java_sdk").await;
    let aws = Aws::start(EmbeddedSettings::default()).await.unwrap();
    let mut client = Command::new("java");
    client.args(["-cp", &classpath, "Client", &aws.kinesis_url()]).kill_on_drop(true);
    let output = client.output().await.unwrap();
    assert_success("the Java client", &output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("checks: "), "{output:?}");
    aws.stop().await;
}
