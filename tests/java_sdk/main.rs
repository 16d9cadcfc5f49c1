//! The AWS SDK for Java with its defaults against embedded Kinesis. It uses CBOR.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bindd::embedded::{Aws, EmbeddedSettings};
use std::fs;
use std::path::Path;
use std::process::Output;
use tokio::process::Command;

/// Builds the client with Maven, which downloads the SDK; returns the class path.
async fn build_client() -> String {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java_sdk/pom.xml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java_sdk");
    let classpath = target.join("classpath");
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(project).arg(format!("-Dbuild.to={}", target.display()));
    // Goals, since the phase `compile` would also run plugins that pom.xml does not pin.
    maven.args(["compiler:compile", "dependency:build-classpath"]);
    maven.arg(format!("-Dmdep.outputFile={}", classpath.display()));
    assert_success("mvn", &maven.output().await.unwrap());
    format!("{}:{}", target.join("classes").display(), fs::read_to_string(classpath).unwrap())
}

fn assert_success(program: &str, output: &Output) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    assert!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_sdk_for_java_succeeds() {
    let classpath = build_client().await;
    let aws = Aws::start(EmbeddedSettings::default()).await.unwrap();
    let mut client = Command::new("java");
    client.args(["-cp", &classpath, "Client", &aws.kinesis_url()]).kill_on_drop(true);
    let output = client.output().await.unwrap();
    assert_success("the Java client", &output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("checks: "), "{output:?}");
    aws.stop().await;
}
