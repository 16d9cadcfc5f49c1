//! Changes that are written into the resources folder.

use super::api::{ComponentsApi, TOKEN, component, json_of, output, settings, start, start_with};
use crate::environment::Environment;
use crate::signals::Program;
use bindd::daemon::Shutdown;
use bindd::manifest::{DocumentFormat, RawDocument};
use http::Method;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

async fn environment() -> Environment {
    let env = Environment::start().await;
    for stream in ["one", "two"] {
        env.stream(stream, 1).await;
    }
    env
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn in_file(path: &Path) -> RawDocument {
    RawDocument::parse(&fs::read_to_string(path).unwrap(), DocumentFormat::Yaml).unwrap()
}

fn document(value: &Value) -> RawDocument {
    RawDocument::parse(&value.to_string(), DocumentFormat::Json).unwrap()
}

#[tokio::test]
async fn a_persisted_change_is_there_after_a_restart_and_is_no_change_for_the_watch() {
    let env = environment().await;
    let mut settings = settings(&env, None);
    settings.reload.watch = None;
    let (sidecar, api) = start_with(&settings).await;
    let created = api.post("?persist=true", &output(&env, "orders", "one")).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let status = json_of(&created)["status"].clone();
    let path = env.folder().join("orders.yaml");
    assert_eq!((&status["persisted"], status["file"].as_str()), (&json!(true), path.to_str()));
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("`secretKey`") && warnings.contains("secretKeyRef"), "{status}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(in_file(&path), document(&output(&env, "orders", "one")));

    // What says the same as the file again is no change.
    assert_eq!(api.post("/orders/disable", &Value::Null).await.status, 200);
    let enabled = json_of(&api.post("/orders/enable", &Value::Null).await)["status"].clone();
    assert_eq!((&enabled["persisted"], enabled["file"].as_str()), (&json!(true), path.to_str()));

    // Not persisted, and then persisted as it is.
    assert_eq!(api.put("/orders", &output(&env, "orders", "two")).await.status, 200);
    assert_eq!(in_file(&path), document(&output(&env, "orders", "one")));
    let persisted = api.call(Method::PUT, "/orders?persist=true", &output(&env, "orders", "two").to_string()).await;
    assert_eq!(json_of(&persisted)["status"]["persisted"], json!(true), "{}", persisted.text());
    assert_eq!(in_file(&path), document(&output(&env, "orders", "two")));
    let disabled = api.post("/orders/disable?persist=true", &Value::Null).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    assert_eq!(sidecar.stop().await, Shutdown::Clean);

    let (sidecar, api) = start_with(&settings).await;
    assert_eq!(json_of(&api.get("/orders").await)["status"]["state"], json!("disabled"));
    assert_eq!(sidecar.invoke("orders", r#"{"operation": "create", "data": 1}"#).await.status, 409);
    assert_eq!(api.delete("/orders?persist=true").await.status, 204);
    assert_eq!(names(env.folder()), Vec::<String>::new());
    assert_eq!(sidecar.stop().await, Shutdown::Clean);
}

#[tokio::test]
async fn a_component_whose_file_cannot_be_read_gets_no_second_file() {
    let env = environment().await;
    let (settings, text) = (settings(&env, None), output(&env, "orders", "one").to_string());
    env.file("any.json", &text);
    let (sidecar, api) = start_with(&settings).await;
    env.file("any.json", "{broken");
    let put = async || api.call(Method::PUT, "/orders?persist=true", &output(&env, "orders", "two").to_string()).await;
    let refused = put().await;
    assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (409, "ERR_COMPONENT_CONFLICT"));
    assert!(
        refused.text().contains("any.json") && refused.text().contains("correct or remove it"),
        "{}",
        refused.text()
    );
    assert_eq!(api.put("/orders", &output(&env, "orders", "two")).await.status, 200, "it can be changed in memory");
    assert_eq!((put().await.status.as_u16(), names(env.folder())), (409, vec!["any.json".to_owned()]));
    env.file("any.json", &text);
    let written = put().await;
    assert_eq!((written.status.as_u16(), names(env.folder())), (200, vec!["any.json".to_owned()]));
    sidecar.stop().await;
}

#[tokio::test]
async fn references_stay_references_and_files_that_cannot_be_written_change_nothing() {
    let env = environment().await;
    env.file(
        "store.yaml",
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: local}\nspec:\n  type: \
              secretstores.local.file\n  version: v1\n  metadata: [{name: secretsFile, value: SECRETS}]\n"
            .replace("SECRETS", env.folder().join("secrets.txt").to_str().unwrap())
            .as_str(),
    );
    env.file("secrets.txt", r#"{"key": "the-secret-in-the-store"}"#);
    let two = |name: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec: {{type: bindings.cron, \
             version: v1, metadata: [{{name: schedule, value: '@every 1h'}}]}}\n"
        )
    };
    env.file("both.yaml", &format!("# kept\n{}---\n{}", two("first"), two("second")));
    let (sidecar, api) = start(&env).await;
    let mut referring = output(&env, "orders", "one");
    referring["auth"] = json!({"secretStore": "local"});
    referring["spec"]["metadata"][4] = json!({"name": "secretKey", "secretKeyRef": {"name": "key", "key": "key"}});
    referring["spec"]["metadata"][3] = json!({"name": "accessKey", "secretKeyRef": {"name": "key", "key": "key"}});
    let created = api.post("?persist=true", &referring).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let warnings = json_of(&created)["status"]["warnings"].to_string();
    assert!(warnings.contains("no effect: `leaseEndpoint`") && !warnings.contains("secretKeyRef"), "{warnings}");
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    assert!(text.contains("secretKeyRef") && !text.contains("the-secret-in-the-store"), "{text}");

    let before = fs::read_to_string(env.folder().join("both.yaml")).unwrap();
    let refused = api.post("/first/disable?persist=true", &Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.field("errorCode").as_str()), (409, "ERR_COMPONENT_CONFLICT"));
    assert!(refused.text().contains("has 2 documents"), "{}", refused.text());
    assert_eq!(json_of(&api.get("/first").await)["status"]["state"], json!("running"));
    assert_eq!(api.delete("/first?persist=true").await.status, 409);
    assert_eq!(api.post("/first/disable", &Value::Null).await.status, 200, "without the file it can be changed");
    assert_eq!(fs::read_to_string(env.folder().join("both.yaml")).unwrap(), before);
    env.file("taken.yaml", "# of another tool\n");
    let taken = api.post("?persist=true", &output(&env, "taken", "one")).await;
    assert!(taken.status == 409 && taken.text().contains("exists and is not the file"), "{}", taken.text());
    assert_eq!(api.get("/taken").await.status, 404);
    sidecar.stop().await;
}

#[tokio::test]
async fn no_secret_is_in_an_answer_or_a_log_line_and_each_change_has_an_audit_line() {
    let env = environment().await;
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start_managed(folder.path(), TOKEN);
    let api = ComponentsApi::at(program.http_address().await);
    let mut answers = Vec::new();
    answers.push(api.post("", &output(&env, "orders", "one")).await);
    answers.push(api.put("/orders", &output(&env, "orders", "two")).await);
    let bad = [("streamName", "one"), ("secretKey", "another-s3cret with spaces\u{7}"), ("direction", "output")];
    answers.push(api.put("/orders", &component(&env, "orders", &bad)).await);
    answers.push(api.post("/test", &output(&env, "orders", "one")).await);
    answers.push(api.get("/orders").await);
    answers.push(api.get("").await);
    answers.push(api.patch("/orders", &json!({"spec": {"metadata": [{"name": "maxInFlight", "value": "9"}]}})).await);
    assert_eq!(api.delete("/orders").await.status, 204);
    assert!(answers.iter().all(|answer| !answer.text().contains("s3cret")), "{answers:?}");
    program.send("HUP").await;
    let lines = program.lines_until("no component was changed").await;
    assert!(lines.iter().all(|line| !line.contains("s3cret") && !line.contains(TOKEN)), "{lines:#?}");
    let audit: Vec<&String> = lines.iter().filter(|line| line.contains("components API was called")).collect();
    for (line, expected) in audit.iter().zip([
        ["action=\"create\"", "outcome=\"done\""],
        ["fields=\"streamName\"", "outcome=\"done\""],
        ["action=\"replace\"", "outcome=\"ERR_COMPONENT_INVALID\""],
        ["action=\"test\"", "outcome=\"done\""],
        ["fields=\"maxInFlight\"", "action=\"patch\""],
        ["action=\"delete\"", "token=\"BINDD_ADMIN_TOKEN\""],
    ]) {
        assert!(expected.iter().all(|part| line.contains(part)) && line.contains("peer=\"127.0.0.1:"), "{line}");
    }
    assert_eq!(audit.len(), 6, "{audit:#?}");
    assert_eq!(program.stop().await, Some(0));
}

/// A component whose document is large, so that it takes time to write.
fn numbered(folder: &Path, number: usize) -> Value {
    json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "files"},
        "spec": {"type": "bindings.localstorage", "version": "v1", "metadata": [
            {"name": "rootPath", "value": folder.join("data").to_str()},
            {"name": "filler", "value": format!("{number}-").repeat(10_000)},
        ]},
    })
}

/// The status of the answer; `None` if the program has ended meanwhile.
async fn put(address: SocketAddr, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "PUT /v1.0-alpha1/components/files?persist=true HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         dapr-api-token: {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

#[tokio::test]
async fn a_killed_program_leaves_each_file_whole() {
    const ROUNDS: usize = 10;
    const WRITES: usize = 100;
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut number = 0;
    for round in 0..ROUNDS {
        let mut program = Program::start_managed(folder.path(), TOKEN);
        let address = program.http_address().await;
        let (answered, mut is_answered) = watch::channel(number);
        let writing = async {
            for next in number + 1.. {
                match put(address, &numbered(data.path(), next).to_string()).await {
                    Some(200 | 201) => drop(answered.send(next)),
                    Some(status) => panic!("write {next} was answered with {status}"),
                    None => break,
                }
            }
        };
        let last = number + WRITES;
        // The next write is on its way when the program is killed.
        let killed = program.kill_after(async { drop(is_answered.wait_for(|answered| *answered >= last).await) });
        tokio::join!(killed, writing);
        number = *answered.borrow();
        let found = in_file(&folder.path().join("files.yaml"));
        let is_whole = [number, number + 1].iter().any(|number| found == document(&numbered(data.path(), *number)));
        assert!(is_whole, "round {round}: neither write {number} nor the next one is in the file");
    }
    assert!(number >= ROUNDS * WRITES);
    let mut program = Program::start_managed(folder.path(), TOKEN);
    program.http_address().await;
    assert_eq!(program.stop().await, Some(0));
}
