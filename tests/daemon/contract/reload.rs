//! §3.6: changes of component files while the sidecar runs.

use super::program::Program;
use super::{CREATE, environment, exchange, request};
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::testing::until;
use std::fs;

/// Names of the components that run, sorted.
async fn running(program: &Program) -> Vec<String> {
    let page = exchange(program.local_address().await, &request("GET /v1.0/metadata", "", "")).await.json();
    let components = page["components"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<_> = components.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

async fn until_running(program: &Program, expected: &[&str]) {
    until("3.6 the components", async || (running(program).await == expected).then_some(())).await;
}

fn output(env: &Environment, name: &str) {
    env.kinesis_component(name, &[("streamName", "orders"), ("direction", "output")]);
}

#[tokio::test]
async fn it_is_on_by_default_and_each_change_has_its_line() {
    let env = environment().await;
    env.stream("other", 1).await;
    let mut program = Program::start(false, &[], Some(env.folder()));
    let watching = format!("3.6 Watching directories: [{}]", env.folder().display());
    program.in_order(&["3.6 Hot reloading enabled. Daprd will reload 'Component'", &watching]).await;
    output(&env, "added");
    program.line("Component loaded: added (bindings.aws.kinesis/v1)").await;
    until_running(&program, &["added", "orders", "people"]).await;
    assert_eq!(program.invoke("added", CREATE).await.status, 204, "3.6 it serves");
    env.kinesis_component("added", &[("streamName", "other"), ("direction", "output")]);
    program
        .in_order(&[
            "3.6 Closing existing Component to reload: added (bindings.aws.kinesis/v1)",
            "3.6 Component updated: added (bindings.aws.kinesis/v1)",
        ])
        .await;
    assert_eq!(program.invoke("added", CREATE).await.status, 204);
    assert_eq!(env.records("other").await.len(), 1, "3.6 the new one serves");
    fs::remove_file(env.folder().join("added.yaml")).unwrap();
    until_running(&program, &["orders", "people"]).await;
    let gone = program.invoke("added", CREATE).await;
    assert!(gone.text().contains("couldn't find output binding added"), "3.6 {}", gone.text());
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test]
async fn folders_below_and_other_metadata_make_no_difference() {
    let env = environment().await;
    let mut program = Program::start(false, &[], Some(env.folder()));
    program.line("Watching directories: [").await;
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    fs::create_dir(env.folder().join("below")).unwrap();
    fs::write(env.folder().join("below/below.yaml"), text.replace("name: orders\n", "name: below\n")).unwrap();
    env.file("orders.yaml", &text.replace("name: orders\n", "name: orders\n  labels: {team: shop}\n"));
    // What is seen after both.
    output(&env, "last");
    until_running(&program, &["last", "orders", "people"]).await;
    assert!(!program.read().contains("Component updated: "), "3.6 labels do not count: {}", program.read());
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test]
async fn the_feature_of_the_configuration_turns_it_off() {
    let env = environment().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    for (says, features, is_on) in
        [("3.6 on", "[]", true), ("3.6 off by a Configuration", "[{name: HotReload, enabled: false}]", false)]
    {
        fs::write(&config, format!("kind: Configuration\nspec: {{features: {features}}}\n")).unwrap();
        let mut program = Program::start(false, &["--config", config.to_str().unwrap()], Some(env.folder()));
        program.line("dapr initialized. Status: Running.").await;
        assert_eq!(program.read().contains("Hot reloading enabled."), is_on, "{says}: {}", program.read());
        let page = exchange(program.local_address().await, &request("GET /v1.0/metadata", "", "")).await.json();
        let is_listed = page["enabledFeatures"].as_array().is_some_and(|all| all.iter().any(|one| one == "HotReload"));
        assert_eq!(is_listed, is_on, "{says}: 4.2 enabledFeatures");
        assert_eq!(program.stop().await, Some(0));
    }
}

#[tokio::test]
async fn an_input_that_is_added_is_read_at_once_and_a_name_that_is_taken_changes_nothing() {
    let env = environment().await;
    let records = env.put("orders", "order-", 1).await;
    let app = RecordingApp::start().await;
    let mut settings = env.settings(Some(&app));
    settings.reload.watch = Some(true);
    let sidecar = Sidecar::start(&settings).await.unwrap();
    sidecar.until_ready().await;
    env.input("orders-in", "orders", "shared");
    app.until_accepted(&records).await;
    // daprd would exit.
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    env.file("zz-again.yaml", &text);
    let more = env.put("orders", "more-", 1).await;
    app.until_accepted(&more).await;
    let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", CREATE)).await;
    assert_eq!(answer.status, 204, "3.6 {}", answer.body);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_changed_configuration_is_told() {
    let env = environment().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, "kind: Configuration\nspec: {}\n").unwrap();
    let mut program = Program::start(false, &["--config", config.to_str().unwrap()], Some(env.folder()));
    program.line("dapr initialized. Status: Running.").await;
    fs::write(&config, "kind: Configuration\nspec: {metrics: {enabled: false}}\n").unwrap();
    // daprd would restart its runtime.
    program.send("HUP").await;
    program.line("Configuration has changed; restart to apply its ").await;
    assert_eq!(program.invoke("orders", CREATE).await.status, 204, "3.6 it serves on");
    assert_eq!(program.stop().await, Some(0));
}
