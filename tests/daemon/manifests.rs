//! Bad files, taken ports, and the exit codes of the program itself.

use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::cli::check;
use bindd::daemon::StartError;
use bindd::settings::CheckSettings;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::process::Command;

#[tokio::test]
async fn all_faults_of_all_files_are_told_together() {
    let env = Environment::start().await;
    env.kinesis_component("good", &[("streamName", "orders")]);
    env.kinesis_component("no-stream", &[("mode", "sharred")]);
    env.dynamodb_component("no-table", &[]);
    env.file("broken.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Component\n\tmetadata: [");
    let Err(StartError::Files(faults)) = Sidecar::start(&env.settings(None)).await else {
        panic!("bad files were taken");
    };
    let text = faults.to_string();
    for expected in ["streamName", "shared", "no-table", "table", "broken.yaml"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let env = Environment::start().await;
    let first = env.sidecar(None).await;
    let mut settings = env.settings(None);
    settings.http_addresses = vec![first.address()];
    let error = Sidecar::start(&settings).await.unwrap_err();
    assert!(matches!(error, StartError::Bind(_)), "{error}");
    assert!(error.to_string().contains(&first.address().port().to_string()), "{error}");
    first.stop().await;
}

#[test]
fn every_sample_component_passes_the_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("components");
    let samples = std::fs::read_dir(&folder).unwrap().count();
    let settings = CheckSettings { paths: vec![folder], ..CheckSettings::default() };
    let report = check::run(&settings);
    assert!(report.passed, "{}", report.text);
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
        (
            &[
                "--app-id",
                "shop",
                "--dapr-http-port",
                "0",
                "--dapr-grpc-port",
                "0",
                "--enable-metrics=false",
                "--resources-path",
                path,
            ],
            1,
        ),
        (&["check", "--resources-path", "no/such/folder"], 1),
        (&["--app-id", "shop", "--log-level", "orders=loud"], 2),
        (&["--app-id", "shop", "--log-level", "loud"], 2),
    ] {
        let output = bindd(arguments).await;
        let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&printed));
        assert!(!printed.is_empty(), "{arguments:?} says nothing");
    }
}

/// Writes a component with this type and these items, one YAML mapping each.
fn component(folder: &Path, name: &str, kind: &str, more: &str) {
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: {kind}\n  version: v1\n{more}"
    );
    std::fs::write(folder.join(name).with_extension("yaml"), text).unwrap();
}

#[tokio::test]
async fn a_folder_made_for_daprd_loads_with_one_notice_for_each_thing_that_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    component(path, "rows", "bindings.aws.dynamodb", "  metadata: [{name: table, value: orders}]\n");
    let secret =
        "  metadata: [{name: redisPassword, secretKeyRef: {name: redis, key: password}}]\nauth: {secretStore: vault}\n";
    component(path, "cache", "state.redis", secret);
    component(path, "bus", "pubsub.kafka", "  metadata: [{name: brokers, envRef: NOT_SET_ANYWHERE}]\n");
    component(path, "vault", "secretstores.hashicorp.vault", "");
    component(path, "tick", "bindings.kafka", "  metadata: [{name: brokers, value: 'a:9092'}]\n");
    let files = [
        ("list.yaml", "- a\n- b\n"),
        ("stack.yaml", "Resources: {Stream: !Ref Name}\n"),
        ("package.json", "{\"name\": \"app\"}"),
        ("rows.json", "{\"id\": 1}\n{\"id\": 2}\n"),
        ("empty.yaml", ""),
        ("notes.txt", "x"),
    ];
    for (name, text) in files {
        std::fs::write(path.join(name), text).unwrap();
    }
    let output = bindd(&["check", "--resources-path", path.to_str().unwrap()]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.lines().last(), Some("1 component without fault, 0 faults, 10 notices"), "{text}");
    for name in [
        "cache",
        "bus",
        "vault",
        "tick",
        "list.yaml",
        "stack.yaml",
        "package.json",
        "rows.json",
        "empty.yaml",
        "notes.txt",
    ] {
        let printed = text.lines().filter(|line| line.starts_with("notice ") && line.contains(name)).count();
        assert_eq!(printed, 1, "{name}: {text}");
    }
}

#[tokio::test]
async fn two_outputs_with_one_consumer_name_start() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    for name in ["first", "second"] {
        env.kinesis_component(name, &[("streamName", "orders"), ("consumerName", "shop")]);
    }
    let sidecar = env.sidecar(None).await;
    for name in ["first", "second"] {
        let response = sidecar.invoke(name, r#"{"operation": "create", "data": 1}"#).await;
        assert_eq!(response.status, 204, "{response:?}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn of_two_inputs_on_one_lease_table_the_one_that_says_so_is_read() {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    let records = env.put("orders", "record-", 5).await;
    let fields = [("streamName", "orders"), ("consumerName", "shop"), ("initialPosition", "trim_horizon")];
    // By its name the other one comes first; only its direction decides.
    env.kinesis_component("probed", &fields);
    env.kinesis_component("stated", &[&fields[..], &[("direction", "input")]].concat());
    let app = RecordingApp::start().await;
    let sidecar = env.sidecar(Some(&app)).await;
    app.until_accepted(&records).await;
    assert!(app.events().iter().all(|event| event.route == "stated"), "{:?}", app.events());
    sidecar.stop().await;
}
