//! A client of the components API.

use crate::calls::{self, Response};
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::settings::{ComponentsApiSettings, Settings};
use http::{Method, Request};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The token of the API.
pub(crate) const TOKEN: &str = "t0ken-of-the-test";

/// The routes of one sidecar, called with the token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComponentsApi(SocketAddr);

/// With the API, and files that are compared only at SIGHUP.
pub(crate) fn settings(env: &Environment, app: Option<&RecordingApp>) -> Settings {
    let mut settings = env.settings(app);
    settings.components_api = Some(ComponentsApiSettings { token: TOKEN.into(), variable: "BINDD_ADMIN_TOKEN" });
    settings
}

pub(crate) async fn start(env: &Environment) -> (Sidecar, ComponentsApi) {
    start_with(&settings(env, None)).await
}

pub(crate) async fn start_with(settings: &Settings) -> (Sidecar, ComponentsApi) {
    let sidecar = Sidecar::start(settings).await.unwrap();
    let api = ComponentsApi(sidecar.address());
    (sidecar, api)
}

impl ComponentsApi {
    pub(crate) const fn at(address: SocketAddr) -> Self {
        Self(address)
    }

    /// `path` is what follows that of all components.
    pub(crate) async fn call(self, method: Method, path: &str, body: &str) -> Response {
        self.call_with(method, path, body, &[]).await
    }

    pub(crate) async fn call_with(self, method: Method, path: &str, body: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(format!("/v1.0-alpha1/components{path}"));
        for (name, value) in [("dapr-api-token", TOKEN)].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        calls::send(self.0, request, body).await
    }

    pub(crate) async fn get(self, path: &str) -> Response {
        self.call(Method::GET, path, "").await
    }

    pub(crate) async fn post(self, path: &str, body: &Value) -> Response {
        self.call(Method::POST, path, &body.to_string()).await
    }

    pub(crate) async fn put(self, path: &str, body: &Value) -> Response {
        self.call(Method::PUT, path, &body.to_string()).await
    }

    pub(crate) async fn patch(self, path: &str, body: &Value) -> Response {
        self.call(Method::PATCH, path, &body.to_string()).await
    }

    pub(crate) async fn delete(self, path: &str) -> Response {
        self.call(Method::DELETE, path, "").await
    }
}

/// The JSON of a response.
pub(crate) fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

/// An output to a stream.
pub(crate) fn output(env: &Environment, name: &str, stream: &str) -> Value {
    component(env, name, &[("streamName", stream), ("direction", "output")])
}

/// A Kinesis component with these fields and those of the connection.
pub(crate) fn component(env: &Environment, name: &str, fields: &[(&str, &str)]) -> Value {
    let (kinesis, leases) = (env.kinesis_url(), env.dynamodb_url());
    let connection = [
        ("region", "us-east-1"),
        ("endpoint", kinesis.as_str()),
        ("leaseEndpoint", leases.as_str()),
        ("accessKey", "test"),
        ("secretKey", "s3cret-of-the-test"),
    ];
    let items: Vec<Value> =
        connection.iter().chain(fields).map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Component",
        "metadata": { "name": name },
        "spec": { "type": "bindings.aws.kinesis", "version": "v1", "metadata": items },
    })
}
