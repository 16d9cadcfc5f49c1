//! Bad files, taken ports, and the exit codes of the program itself.

use crate::world::{Sidecar, World};
use bindd::check;
use bindd::daemon::StartError;
use bindd::settings::CheckSettings;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::process::Command;

#[tokio::test]
async fn all_faults_of_all_files_are_told_together() {
    let world = World::start().await;
    world.kinesis_component("good", &[("streamName", "orders")]);
    world.kinesis_component("no-stream", &[("mode", "sharred")]);
    world.dynamodb_component("no-table", &[]);
    world.file("broken.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Component\n\tmetadata: [");
    let Err(StartError::Files(faults)) = Sidecar::start(&world.settings(None)).await else {
        panic!("bad files were taken");
    };
    let text = faults.to_string();
    for expected in ["streamName", "shared", "no-table", "table", "broken.yaml"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let world = World::start().await;
    let first = world.sidecar(None).await;
    let mut settings = world.settings(None);
    settings.http_addresses = vec![first.address()];
    let error = Sidecar::start(&settings).await.unwrap_err();
    assert!(matches!(error, StartError::Bind(_)), "{error}");
    assert!(error.to_string().contains(&first.address().port().to_string()), "{error}");
    first.stop().await;
}

#[test]
fn every_sample_component_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("components");
    let samples = std::fs::read_dir(&folder).unwrap().count();
    let settings = CheckSettings { paths: vec![folder], app_id: None, namespace: None, json: false };
    let report = check::run(&settings);
    assert!(report.is_sound, "{}", report.text);
    assert!(report.text.contains(&format!("{samples} components")), "{}", report.text);
}

async fn bindd(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
    command.args(arguments).stdin(Stdio::null()).env_remove("NAMESPACE").kill_on_drop(true);
    bindd::testing::within("the program to end", command.output()).await.unwrap()
}

#[tokio::test]
async fn the_program_exits_as_daprd_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "kind: Component\napiVersion: dapr.io/v1alpha1\n").unwrap();
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["--no-such-flag"], 2),
        (&["--resources-path", path], 2),
        (&["check", "--resources-path", path], 1),
        (&["check", "--json", "--resources-path", path], 1),
        (&["--app-id", "shop", "--dapr-http-port", "0", "--enable-metrics=false", "--resources-path", path], 1),
        (&["check", "--resources-path", "no/such/folder"], 1),
        (&["--app-id", "shop", "--log-level", "orders=loud"], 2),
    ] {
        let output = bindd(arguments).await;
        let told = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&told));
        assert!(!told.is_empty(), "{arguments:?} says nothing");
    }
}
