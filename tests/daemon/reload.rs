//! Component files that change while the sidecar runs.

use crate::calls::get;
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use crate::inputs::assert_in_order;
use crate::signals::Program;
use bindd::daemon::Shutdown;
use bindd::testing::until;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

const CREATE: &str = r#"{"operation": "create", "data": 1}"#;

/// Writes an output to a stream.
fn output(env: &Environment, name: &str, stream: &str) {
    env.kinesis_component(name, &[("streamName", stream), ("direction", "output")]);
}

/// A sidecar that watches its files, and streams `one` and `two`.
async fn watching(env: &Environment, app: Option<&RecordingApp>) -> Sidecar {
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    watching_only(env, app).await
}

async fn watching_only(env: &Environment, app: Option<&RecordingApp>) -> Sidecar {
    let mut settings = env.settings(app);
    settings.reload.watch = None;
    Sidecar::start(&settings).await.unwrap()
}

/// Calls the output until its record arrives in the stream.
async fn until_written_to(env: &Environment, sidecar: &Sidecar, stream: &str) {
    until("a record in the stream", async || {
        let response = sidecar.invoke("orders", CREATE).await;
        assert_eq!(response.status, 204, "{}", response.text());
        (!env.records(stream).await.is_empty()).then_some(())
    })
    .await;
}

/// The names and versions of the components that run.
async fn running(sidecar: &Sidecar) -> Vec<(String, String)> {
    let page: serde_json::Value = serde_json::from_str(get(sidecar.address(), "/v1.0/metadata").await.text()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let components = page["components"].as_array().cloned().unwrap_or_default();
    components.iter().map(|one| (text(&one["name"]), text(&one["version"]))).collect()
}

async fn until_running(sidecar: &Sidecar, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
    until("the components to run", async || (running(sidecar).await == expected).then_some(())).await;
}

/// Writes the component again with another version, which has the same meaning and is another content.
fn set_version(env: &Environment, name: &str, version: &str) {
    let file = format!("{name}.yaml");
    let text = fs::read_to_string(env.folder().join(&file)).unwrap();
    let (before, after) = text.split_once("  version: ").unwrap();
    let after = after.split_once('\n').unwrap().1;
    env.file(&file, &format!("{before}  version: {version}\n{after}"));
}

#[tokio::test]
async fn components_are_added_changed_and_removed() {
    let env = Environment::start().await;
    let sidecar = watching(&env, None).await;
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 404);
    output(&env, "orders", "one");
    until_running(&sidecar, &[("orders", "v1")]).await;
    until_written_to(&env, &sidecar, "one").await;
    output(&env, "orders", "two");
    until_written_to(&env, &sidecar, "two").await;
    fs::remove_file(env.folder().join("orders.yaml")).unwrap();
    until_running(&sidecar, &[]).await;
    let response = sidecar.invoke("orders", CREATE).await;
    assert!(response.status == 404 && response.text().contains("couldn't find output binding orders"), "{response:?}");
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_bad_edit_leaves_the_old_component_running_and_holds_up_no_other() {
    let env = Environment::start().await;
    output(&env, "orders", "one");
    let sidecar = watching(&env, None).await;
    for (number, bad) in ["", "kind: Component\nspec: {type: bindings.aws.kinesis", "streamName"].iter().enumerate() {
        match *bad {
            "streamName" => env.kinesis_component("orders", &[("streamName", "no such name!")]),
            bad => env.file("orders.yaml", bad),
        }
        let other = format!("other-{number}");
        output(&env, &other, "one");
        until("the other component", async || {
            running(&sidecar).await.iter().any(|(name, _)| *name == other).then_some(())
        })
        .await;
        let response = sidecar.invoke("orders", CREATE).await;
        assert_eq!(response.status, 204, "{bad}: {}", response.text());
    }
    assert!(env.records("two").await.is_empty());
    output(&env, "orders", "two");
    until_written_to(&env, &sidecar, "two").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_component_that_cannot_be_connected_leaves_the_old_one_running() {
    let env = Environment::start().await;
    output(&env, "orders", "one");
    let sidecar = watching(&env, None).await;
    let fields = [("streamName", "two"), ("caBundle", "/no/such/bundle.pem"), ("direction", "output")];
    env.kinesis_component("orders", &fields);
    output(&env, "other", "one");
    until_running(&sidecar, &[("orders", "v1"), ("other", "v1")]).await;
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 204);
    assert!(env.records("two").await.is_empty());
    output(&env, "orders", "two");
    until_written_to(&env, &sidecar, "two").await;
    sidecar.stop().await;
}

/// Mounts a component as Kubernetes does: each file is a link into a folder that `..data` links to.
fn mount(folder: &Path, generation: &str, text: &str) {
    fs::create_dir(folder.join(generation)).unwrap();
    fs::write(folder.join(generation).join("orders.yaml"), text).unwrap();
    symlink(generation, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn a_volume_of_kubernetes_is_followed() {
    let env = Environment::start().await;
    output(&env, "orders", "one");
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    let volume = tempfile::tempdir().unwrap();
    mount(volume.path(), "..2026_01", &text);
    symlink("..data/orders.yaml", volume.path().join("orders.yaml")).unwrap();
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    let mut settings = env.settings(None);
    settings.reload.watch = Some(true);
    settings.resources_paths = vec![volume.path().to_owned()];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    until_written_to(&env, &sidecar, "one").await;
    mount(volume.path(), "..2026_02", &text.replace("\"one\"", "\"two\""));
    fs::remove_dir_all(volume.path().join("..2026_01")).unwrap();
    until_written_to(&env, &sidecar, "two").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_created_again_is_read_again() {
    let env = Environment::start().await;
    output(&env, "orders", "one");
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("components");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("orders.yaml"), &text).unwrap();
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    let mut settings = env.settings(None);
    settings.reload.watch = None;
    settings.resources_paths = vec![folder.clone()];
    let sidecar = Sidecar::start(&settings).await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(sidecar.invoke("orders", CREATE).await.status, 204);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("orders.yaml"), text.replace("\"one\"", "\"two\"")).unwrap();
    until("a record in the other stream", async || {
        // Between the two, the folder may have been seen without the file: then the component was removed.
        sidecar.invoke("orders", CREATE).await;
        (!env.records("two").await.is_empty()).then_some(())
    })
    .await;
    sidecar.stop().await;
}

/// Its parent goes too, so nothing that is watched reports the new one.
#[tokio::test]
async fn folders_that_cannot_be_watched_are_compared_at_an_interval() {
    let env = Environment::start().await;
    output(&env, "orders", "one");
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    let root = tempfile::tempdir().unwrap();
    let (parent, folder) = (root.path().join("shop"), root.path().join("shop/components"));
    let write = |text: &str| {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("orders.yaml"), text).unwrap();
    };
    write(&text);
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    let mut program = Program::start_watching(&folder);
    program.until_logged("bindd is serving").await;
    fs::remove_dir_all(&parent).unwrap();
    program.until_logged("component files cannot be watched; they are compared at an interval").await;
    write(&text.replace("\"one\"", "\"two\""));
    // Updated, or loaded again if it was seen while its file was deleted.
    program.until_logged(": orders (bindings.aws.kinesis/v1)").await;
    assert_eq!(program.stop().await, Some(0));
}

/// Replaces an output while callers call it, and none of their requests may fail.
async fn replace_under_load(env: &Environment, body: &'static str, callers: usize, replacements: usize) {
    let sidecar = Arc::new(watching_only(env, None).await);
    let is_done = Arc::new(AtomicBool::new(false));
    let mut calling = JoinSet::new();
    for _ in 0..callers {
        let (sidecar, is_done) = (Arc::clone(&sidecar), Arc::clone(&is_done));
        calling.spawn(async move {
            let mut calls = 0;
            while !is_done.load(Ordering::Relaxed) {
                let response = sidecar.invoke("orders", body).await;
                assert_eq!(response.status, 204, "{}", response.text());
                calls += 1;
            }
            calls
        });
    }
    for number in 0..replacements {
        let version = if number % 2 == 0 { "v0" } else { "v1" };
        set_version(env, "orders", version);
        until_running(&sidecar, &[("orders", version)]).await;
    }
    is_done.store(true, Ordering::Relaxed);
    let calls: Vec<usize> = calling.join_all().await;
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
    let sidecar = Arc::into_inner(sidecar).unwrap();
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn no_request_fails_while_its_table_output_is_replaced() {
    let env = Environment::start().await;
    env.table("rows").await;
    env.dynamodb_component("orders", &[("table", "rows")]);
    // One item, so that the embedded table does not grow.
    replace_under_load(&env, r#"{"operation": "create", "data": {"id": "1"}}"#, 16, 50).await;
}

#[tokio::test]
async fn no_request_fails_while_its_stream_output_is_replaced() {
    let env = Environment::start().await;
    env.stream("one", 1).await;
    output(&env, "orders", "one");
    // Few, because each record makes the embedded stream slower.
    replace_under_load(&env, CREATE, 4, 5).await;
}

/// The owners in the lease rows.
async fn owners(env: &Environment, table: &str) -> usize {
    let rows = env.dynamodb.scan().table_name(table).consistent_read(true).send().await.unwrap().items.unwrap();
    rows.iter().filter(|row| row.contains_key("leaseOwner")).count()
}

async fn nothing_is_lost_or_repeated_while_an_input_is_replaced(mode: &str) {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", mode);
    let app = RecordingApp::start().await;
    let sidecar = watching_only(&env, Some(&app)).await;
    let mut all = env.put("orders", "first-", 10).await;
    app.until_accepted(&all).await;
    for number in 0..8 {
        let version = if number % 2 == 0 { "v0" } else { "v1" };
        set_version(&env, "orders-in", version);
        // Records flow while the input is replaced.
        all.extend(env.put("orders", &format!("batch-{number}-"), 10).await);
        until_running(&sidecar, &[("orders-in", version)]).await;
    }
    app.until_accepted(&all).await;
    assert_eq!(app.events().len(), all.len(), "nothing is repeated");
    assert_in_order(&app.events());
    fs::remove_file(env.folder().join("orders-in.yaml")).unwrap();
    until("the leases to be released", async || (owners(&env, "orders-in").await == 0).then_some(())).await;
    until_running(&sidecar, &[]).await;
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn shared_nothing_is_lost_or_repeated_while_an_input_is_replaced() {
    nothing_is_lost_or_repeated_while_an_input_is_replaced("shared").await;
}

#[tokio::test]
async fn fan_out_nothing_is_lost_or_repeated_while_an_input_is_replaced() {
    nothing_is_lost_or_repeated_while_an_input_is_replaced("extended").await;
}

#[tokio::test]
async fn an_input_under_another_name_takes_over_the_lease_table() {
    let env = Environment::start().await;
    env.stream("orders", 2).await;
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    let sidecar = watching_only(&env, Some(&app)).await;
    let first = env.put("orders", "first-", 10).await;
    app.until_accepted(&first).await;
    let file = env.folder().join("orders-in.yaml");
    let text = fs::read_to_string(&file).unwrap();
    env.file("orders-in.yaml", &text.replace("  name: orders-in\n", "  name: renamed\n"));
    until_running(&sidecar, &[("renamed", "v1")]).await;
    let second = env.put("orders", "second-", 10).await;
    app.until_accepted(&second).await;
    let events = app.events();
    assert_eq!(events.len(), 20, "it goes on after the last accepted record");
    assert!(events[10..].iter().all(|event| event.route == "renamed"));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_hangup_compares_the_files_and_a_fault_is_logged_once() {
    let env = Environment::start().await;
    output(&env, "orders", "one");
    let mut program = Program::start_unwatched(&env);
    let lines = program.lines_until("bindd is serving").await.join("\n");
    for line in [
        "successful init for output binding (orders (bindings.aws.kinesis/v1))",
        "Component loaded: orders (bindings.aws.kinesis/v1)",
    ] {
        assert!(lines.contains(line), "{line} is not in {lines}");
    }
    assert!(!lines.contains("Hot reloading enabled"), "{lines}");
    env.kinesis_component("orders", &[("streamName", "no such name!"), ("direction", "output")]);
    program.send("HUP").await;
    program.until_logged("component file has a fault").await;
    program.send("HUP").await;
    program.until_logged("no component was changed").await;
    env.file("orders.yaml", "");
    program.send("HUP").await;
    let line = program.lines_until("the file is empty").await.pop().unwrap();
    assert!(
        line.contains("ERROR") && line.contains("component=orders") && line.contains("runs on unchanged"),
        "{line}"
    );
    output(&env, "orders", "two");
    program.send("HUP").await;
    let lines = program.lines_until("Component updated: orders (bindings.aws.kinesis/v1)").await.join("\n");
    assert!(lines.contains("Closing existing Component to reload: orders (bindings.aws.kinesis/v1)"), "{lines}");
    assert!(!lines.contains("has a fault"), "{lines}");
    fs::remove_file(env.folder().join("orders.yaml")).unwrap();
    program.send("HUP").await;
    program.until_logged("Component deleted: orders").await;
    assert_eq!(program.stop().await, Some(0));
}
