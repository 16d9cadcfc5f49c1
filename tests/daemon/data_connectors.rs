//! Data connectors over HTTP and from files. `calls` looks for the secret in every answer, and `secrecy` in the log.

use crate::api_schema::{ApiSchema, DOCUMENT};
use crate::calls::{self, Response};
use crate::components::api::{ComponentsApi, TOKEN, component, json_of, settings};
use crate::environment::{Environment, Sidecar};
use crate::secrecy::SECRET_KEY;
use async_trait::async_trait;
use bindd::bindings::{Checked, Spec};
use bindd::daemon::Prepare;
use bindd::manifest::{DocumentFormat, RawDocument};
use futures_util::future::join_all;
use http::{Method, Request};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CREATE: &str = r#"{"operation": "create", "data": 1}"#;

/// Gives components the endpoint of the embedded Kinesis, which an object has no member for.
#[derive(Debug)]
struct Embedded(String);

#[async_trait]
impl Prepare for Embedded {
    fn redirect(&self, component: &mut Checked) {
        if let Spec::Kinesis(spec) = &mut component.spec {
            spec.connection.endpoint.get_or_insert_with(|| self.0.clone());
        }
    }

    async fn prepare(&self, components: &mut [Checked]) -> Result<(), String> {
        components.iter_mut().for_each(|component| self.redirect(component));
        Ok(())
    }
}

/// A sidecar of the app `shop`, and the description of its API, to which each answer is compared.
struct Connectors {
    env: Environment,
    sidecar: Sidecar,
    schema: ApiSchema,
}

impl Connectors {
    async fn start() -> Self {
        let env = Environment::start().await;
        env.stream("test", 1).await;
        Self::start_in(env).await
    }

    async fn start_in(env: Environment) -> Self {
        let prepare = Arc::new(Embedded(env.kinesis_url()));
        let sidecar = Sidecar::start_prepared(&settings(&env, None), prepare).await.unwrap();
        Self { env, sidecar, schema: ApiSchema::new(DOCUMENT) }
    }

    async fn call(&mut self, method: Method, path: &str, body: &Value) -> Response {
        self.call_with(method, path, body, &[("dapr-api-token", TOKEN)]).await
    }

    /// `path` is what follows that of all data connectors.
    async fn call_with(&mut self, method: Method, path: &str, body: &Value, headers: &[(&str, &str)]) -> Response {
        let template = match path.split('?').next().unwrap().split('/').collect::<Vec<_>>()[..] {
            [""] => "",
            ["", "test"] if method == Method::POST => "/test",
            ["", _] => "/{id}",
            _ => "/{id}/test",
        };
        let address = self.sidecar.address();
        let response = send(address, &method, &format!("/v3/apps/shop/dataconnectors{path}"), body, headers).await;
        let path = format!("~1v3~1apps~1{{app}}~1dataconnectors{}", template.replace('/', "~1"));
        let operation = format!("/paths/{path}/{}", method.as_str().to_lowercase());
        self.schema.check_response(&operation, response.status.as_u16(), &response.headers, &response.body);
        response
    }

    async fn get(&mut self, path: &str) -> Response {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// The same folder with another process.
    async fn restart(self) -> Self {
        self.sidecar.stop().await;
        Self::start_in(self.env).await
    }

    async fn stop(self) {
        self.sidecar.stop().await;
    }
}

async fn send(address: SocketAddr, method: &Method, path: &str, body: &Value, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    calls::send(address, request, &if body.is_null() { String::new() } else { body.to_string() }).await
}

fn object(id: &str, stream: &str) -> Value {
    json!({
        "type": "aws-kinesis", "id": id, "credentials": {"user": "AKIDEXAMPLE", "password": SECRET_KEY},
        "region": "us-west-2", "stream": stream, "shards": 1, "maxRecordsPerShardPerSecond": 1000,
        "maxBytesPerShardPerSecond": 1_000_000, "disabled": false,
    })
}

/// As it is returned.
fn shown(id: &str, changes: &Value) -> Value {
    let mut object = object(id, "test");
    object.as_object_mut().unwrap().shift_remove("credentials");
    object.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    object
}

fn codes(response: &Response) -> Vec<(String, String)> {
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    let errors = json_of(response);
    errors.as_array().unwrap().iter().map(|error| (text(error, "code"), text(error, "cause"))).collect()
}

#[tokio::test]
async fn a_connector_is_created_read_changed_tested_and_deleted() {
    let mut connectors = Connectors::start().await;
    let created = connectors.call(Method::POST, "", &object("dc.kinesis.1", "test")).await;
    assert_eq!((created.status.as_u16(), json_of(&created)), (200, shown("dc.kinesis.1", &json!({}))));
    assert_eq!(connectors.sidecar.invoke("dc.kinesis.1", CREATE).await.status, 204);
    assert_eq!(connectors.env.records("test").await.len(), 1);
    let list = json_of(&connectors.get("").await);
    assert_eq!((&list["total"], &list["results"]), (&json!(1), &json!([shown("dc.kinesis.1", &json!({}))])));
    let change = json!({"shards": 2, "maxRecordsPerShardPerSecond": 500, "maxBytesPerShardPerSecond": null});
    let changed = json_of(&connectors.call(Method::PUT, "/dc.kinesis.1", &change).await);
    assert_eq!((&changed["shards"], &changed["stream"]), (&json!(2), &json!("test")), "the rest stays");
    assert!(changed.get("maxBytesPerShardPerSecond").is_none(), "null sets the default");
    assert_eq!(connectors.sidecar.invoke("dc.kinesis.1", CREATE).await.status, 204, "its credentials are still there");
    let tested = connectors.get("/dc.kinesis.1/test").await;
    assert_eq!(json_of(&tested)["ok"], true);
    assert!(tested.text().contains("credentials") && !tested.text().contains("MPLE"), "{}", tested.text());
    connectors.call(Method::PUT, "/dc.kinesis.1", &json!({"disabled": true})).await;
    assert_eq!(connectors.sidecar.invoke("dc.kinesis.1", CREATE).await.status, 409);
    let got = connectors.get("/dc.kinesis.1").await;
    assert_eq!((&json_of(&got)["disabled"], got.header("etag").is_some()), (&json!(true), true));
    for deleted in [1, 0] {
        let answer = connectors.call(Method::DELETE, "/dc.kinesis.1", &Value::Null).await;
        assert_eq!((answer.status.as_u16(), json_of(&answer)), (200, json!({"nrOfItems": deleted})));
    }
    assert_eq!(connectors.get("/dc.kinesis.1").await.status, 404);
    assert_eq!(connectors.sidecar.invoke("dc.kinesis.1", CREATE).await.status, 404);
    connectors.stop().await;
}

#[tokio::test]
async fn every_fault_is_an_error_and_nothing_is_changed() {
    let mut connectors = Connectors::start().await;
    let wrong = json!({"type": "aws-kinesis", "id": "a", "stream": "test", "shards": 0, "shard": 1, "disabled": "no"});
    let refused = connectors.call(Method::POST, "", &wrong).await;
    let found = codes(&refused);
    assert_eq!((refused.status.as_u16(), found.len()), (400, 3), "{found:?}");
    assert!(found.iter().any(|(code, cause)| code == "InvalidRequest" && cause.starts_with("shards: ")), "{found:?}");
    // What only Kinesis components know: the member is named, not the field.
    let region = connectors.call(Method::POST, "", &json!({"type": "aws-kinesis", "id": "a", "stream": "a b"})).await;
    let found = codes(&region);
    assert!(region.status == 400 && found.iter().any(|(_, cause)| cause.starts_with("stream: ")), "{found:?}");
    let text = connectors.call(Method::POST, "", &json!("text")).await;
    assert_eq!((text.status.as_u16(), codes(&text).len()), (400, 1));
    assert_eq!(json_of(&connectors.get("").await)["total"], 0);
    connectors.stop().await;
}

#[tokio::test]
async fn a_connector_that_cannot_work_fails_its_test_and_is_not_created() {
    let mut connectors = Connectors::start().await;
    for (method, path) in [(Method::POST, "/test"), (Method::POST, "")] {
        let failed = connectors.call(method, path, &object("dc.none", "no-such-stream")).await;
        assert_eq!((failed.status.as_u16(), codes(&failed)[0].0.as_str()), (406, "TestFailed"), "{path}");
    }
    assert_eq!(connectors.get("/dc.none").await.status, 404);
    let passed = connectors.call(Method::POST, "/test", &object("dc.fine", "test")).await;
    assert_eq!((passed.status.as_u16(), &json_of(&passed)["ok"]), (200, &json!(true)));
    assert_eq!(connectors.get("/dc.fine").await.status, 404, "a test creates nothing");
    connectors.call(Method::POST, "", &object("dc.fine", "test")).await;
    let broken = connectors.call(Method::PUT, "/dc.fine", &json!({"stream": "no-such-stream"})).await;
    assert_eq!(broken.status, 406);
    assert_eq!(connectors.sidecar.invoke("dc.fine", CREATE).await.status, 204, "the old one goes on");
    connectors.stop().await;
}

#[tokio::test]
async fn conflicts_limits_and_unknown_names_have_their_statuses() {
    let env = Environment::start().await;
    env.stream("test", 1).await;
    env.kinesis_component(
        "both",
        &[("streamName", "test"), ("direction", "input, output"), ("consumerName", "reader")],
    );
    let mut connectors = Connectors::start_in(env).await;
    for number in 1..=10 {
        let created = connectors.call(Method::POST, "", &object(&format!("dc.{number}"), "test")).await;
        assert_eq!(created.status, 200, "{}", created.text());
    }
    let eleventh = connectors.call(Method::POST, "", &object("dc.11", "test")).await;
    assert_eq!((eleventh.status.as_u16(), codes(&eleventh)[0].0.as_str()), (429, "TooManyConnectors"));
    for taken in ["dc.1", "both"] {
        let conflict = connectors.call(Method::POST, "", &object(taken, "test")).await;
        assert_eq!((conflict.status.as_u16(), codes(&conflict)[0].0.as_str()), (409, "Conflict"), "{taken}");
    }
    for unknown in ["/both", "/none", "/none/test"] {
        assert_eq!(connectors.get(unknown).await.status, 404, "{unknown}");
    }
    let stale = [("dapr-api-token", TOKEN), ("if-match", "\"0\"")];
    let refused = connectors.call_with(Method::PUT, "/dc.1", &json!({"shards": 3}), &stale).await;
    assert_eq!(refused.status, 412);
    let any = [("dapr-api-token", TOKEN), ("if-match", "*")];
    let absent = connectors.call_with(Method::DELETE, "/none", &Value::Null, &any).await;
    assert_eq!((absent.status.as_u16(), codes(&absent)[0].0.as_str()), (412, "PreconditionFailed"));
    let renamed = connectors.call(Method::PUT, "/dc.1", &json!({"id": "other"})).await;
    assert_eq!(renamed.status, 400);
    let address = connectors.sidecar.address();
    let (path, token) = ("/v3/apps/other/dataconnectors", [("dapr-api-token", TOKEN)]);
    let other = send(address, &Method::GET, path, &Value::Null, &token).await;
    assert_eq!((other.status.as_u16(), codes(&other)[0].0.as_str()), (404, "ResourceNotFound"));
    connectors.stop().await;
}

#[tokio::test]
async fn only_the_token_opens_the_routes_and_no_page_does() {
    let mut connectors = Connectors::start().await;
    connectors.call(Method::POST, "", &object("dc.kinesis.1", "test")).await;
    let body = object("dc.kinesis.2", "test");
    for (method, path) in [
        (Method::GET, ""),
        (Method::POST, ""),
        (Method::POST, "/test"),
        (Method::GET, "/dc.kinesis.1"),
        (Method::PUT, "/dc.kinesis.1"),
        (Method::DELETE, "/dc.kinesis.1"),
        (Method::GET, "/dc.kinesis.1/test"),
    ] {
        for (headers, status, code) in [
            (&[][..], 401, "Unauthorized"),
            (&[("dapr-api-token", "wrong")][..], 401, "Unauthorized"),
            (&[("dapr-api-token", TOKEN), ("origin", "https://evil.example")][..], 403, "AccessDenied"),
            (&[("dapr-api-token", TOKEN), ("host", "evil.example")][..], 403, "AccessDenied"),
        ] {
            let refused = connectors.call_with(method.clone(), path, &body, headers).await;
            let found = codes(&refused);
            assert_eq!((refused.status.as_u16(), found[0].0.as_str()), (status, code), "{method} {path} {headers:?}");
        }
    }
    assert_eq!(json_of(&connectors.get("").await)["total"], 1);
    connectors.stop().await;
    let env = Environment::start().await;
    let sidecar = env.sidecar(None).await;
    let off = calls::get(sidecar.address(), "/v3/apps/shop/dataconnectors").await;
    assert_eq!((off.status.as_u16(), off.field("errorCode").as_str()), (404, "ERR_DIRECT_INVOKE"));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_connector_from_a_file_runs_without_the_api() {
    let env = Environment::start().await;
    env.stream("test", 1).await;
    env.file("connector.json", &object("dc.kinesis.1", "test").to_string());
    let prepare = Arc::new(Embedded(env.kinesis_url()));
    let sidecar = Sidecar::start_prepared(&env.settings(None), prepare).await.unwrap();
    assert_eq!(sidecar.invoke("dc.kinesis.1", CREATE).await.status, 204);
    sidecar.stop().await;
}

/// The component in a file.
fn in_file(path: &Path, format: DocumentFormat) -> Value {
    RawDocument::parse(&fs::read_to_string(path).unwrap(), format).unwrap().masked()
}

fn item<'v>(document: &'v Value, name: &str) -> &'v Value {
    let items = document["spec"]["metadata"].as_array().unwrap();
    items.iter().find(|item| item["name"] == name).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_persisted_connector_is_a_component_in_a_file_and_is_there_after_a_restart() {
    let mut connectors = Connectors::start().await;
    let mut new = object("dc.kinesis.1", "test");
    new["credentials"]["password"] = json!({"envRef": "PATH"});
    let created = connectors.call(Method::POST, "?persist=true", &new).await;
    assert_eq!((created.status.as_u16(), json_of(&created)), (200, shown("dc.kinesis.1", &json!({}))));
    let path = connectors.env.folder().join("dc.kinesis.1.yaml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let document = in_file(&path, DocumentFormat::Yaml);
    assert_eq!((&document["kind"], &document["spec"]["type"]), (&json!("Component"), &json!("bindings.aws.kinesis")));
    assert_eq!(item(&document, "secretKey"), &json!({"name": "secretKey", "envRef": "PATH"}), "a reference stays one");
    let user = new["credentials"]["user"].as_str().unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains(user), "what came as a value is there as a value");

    let mut connectors = connectors.restart().await;
    let got = connectors.get("/dc.kinesis.1").await;
    assert_eq!((got.status.as_u16(), json_of(&got)), (200, shown("dc.kinesis.1", &json!({}))));
    assert_eq!(connectors.sidecar.invoke("dc.kinesis.1", CREATE).await.status, 204);
    let changed = connectors.call(Method::PUT, "/dc.kinesis.1?persist=true", &json!({"shards": 2})).await;
    assert_eq!((changed.status.as_u16(), &json_of(&changed)["shards"]), (200, &json!(2)));
    let document = in_file(&path, DocumentFormat::Yaml);
    assert_eq!(
        (&item(&document, "shards")["value"], &item(&document, "secretKey")["envRef"]),
        (&json!("2"), &json!("PATH"))
    );
    // Without `persist`, a change ends with the process.
    connectors.call(Method::PUT, "/dc.kinesis.1", &json!({"shards": 3})).await;

    let mut connectors = connectors.restart().await;
    assert_eq!(json_of(&connectors.get("/dc.kinesis.1").await)["shards"], 2);
    let deleted = connectors.call(Method::DELETE, "/dc.kinesis.1?persist=true", &Value::Null).await;
    assert_eq!((json_of(&deleted), path.exists()), (json!({"nrOfItems": 1}), false));
    connectors.stop().await;
}

#[tokio::test]
async fn a_persisted_change_of_a_connector_in_a_file_makes_a_component_of_it() {
    let env = Environment::start().await;
    env.stream("test", 1).await;
    env.file("connector.json", &object("dc.kinesis.1", "test").to_string());
    let mut connectors = Connectors::start_in(env).await;
    let changed = connectors.call(Method::PUT, "/dc.kinesis.1?persist=true", &json!({"shards": 2})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let path = connectors.env.folder().join("connector.json");
    let document = in_file(&path, DocumentFormat::Json);
    assert_eq!((&document["kind"], &item(&document, "shards")["value"]), (&json!("Component"), &json!("2")));
    assert_eq!(fs::read_dir(connectors.env.folder()).unwrap().count(), 1);
    let mut connectors = connectors.restart().await;
    assert_eq!(json_of(&connectors.get("/dc.kinesis.1").await), shown("dc.kinesis.1", &json!({"shards": 2})));
    connectors.stop().await;
}

#[tokio::test]
async fn the_limit_holds_for_callers_at_the_same_time_and_for_those_that_leave() {
    let mut connectors = Connectors::start().await;
    for number in 1..=8 {
        connectors.call(Method::POST, "", &object(&format!("dc.{number}"), "test")).await;
    }
    let (address, path) = (connectors.sidecar.address(), "/v3/apps/shop/dataconnectors");
    let headers = [("dapr-api-token", TOKEN)];
    for number in 1..=4 {
        let body = object(&format!("gone.{number}"), "test").to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ndapr-api-token: {TOKEN}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    }
    let create = async |number: usize| {
        let body = object(&format!("new.{number}"), "test");
        send(address, &Method::POST, path, &body, &headers).await.status.as_u16()
    };
    let statuses = join_all((1..=6).map(create)).await;
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    let full = connectors.call(Method::POST, "", &object("dc.last", "test")).await;
    assert_eq!((full.status.as_u16(), codes(&full)[0].0.as_str()), (429, "TooManyConnectors"));
    assert_eq!(json_of(&connectors.get("").await)["total"], 10);
    connectors.stop().await;
}

#[tokio::test]
async fn a_connector_that_a_component_needs_is_not_deleted() {
    let mut connectors = Connectors::start().await;
    connectors.call(Method::POST, "?persist=true", &object("dc.kinesis.1", "test")).await;
    let fields = [("streamName", "test"), ("direction", "output"), ("deadLetterBinding", "dc.kinesis.1")];
    let api = ComponentsApi::at(connectors.sidecar.address());
    assert_eq!(api.post("", &component(&connectors.env, "orders", &fields)).await.status, 201);
    for path in ["/dc.kinesis.1", "/dc.kinesis.1?persist=true"] {
        let refused = connectors.call(Method::DELETE, path, &Value::Null).await;
        let found = codes(&refused);
        assert_eq!((refused.status.as_u16(), found.len(), found[0].0.as_str()), (409, 1, "Conflict"), "{found:?}");
        assert!(found[0].1.starts_with("deadLetterBinding: component `orders`: there is no component"), "{found:?}");
    }
    assert!(connectors.env.folder().join("dc.kinesis.1.yaml").exists());
    assert_eq!(connectors.sidecar.invoke("dc.kinesis.1", CREATE).await.status, 204);
    assert_eq!(api.delete("/orders").await.status, 204);
    let deleted = connectors.call(Method::DELETE, "/dc.kinesis.1?persist=true", &Value::Null).await;
    assert_eq!(json_of(&deleted), json!({"nrOfItems": 1}));
    connectors.stop().await;
}
