//! Health, metadata and shutdown: what an operator and an SDK ask of the sidecar itself.

use super::error;
use super::face::Face;
use super::invoke::unescape;
use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Our version, in the place where Dapr tells its own.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /v1.0/healthz`, with Dapr's optional `?appid=` that must match.
pub(super) fn full(face: &Face, query: Option<&str>) -> Response {
    // An input that waits for an operator is as good as not there.
    let pending = [face.ready.pending(), face.host.refusals()].concat();
    if !face.ready.is_ready() || !pending.is_empty() {
        let pending = pending.join(" ");
        return error::unhealthy("ERR_HEALTH_NOT_READY", &format!("dapr is not ready: [{pending}]"));
    }
    if app_id_asked(query.unwrap_or_default()).is_some_and(|id| id != face.app_id) {
        return error::unhealthy("ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match");
    }
    no_content()
}

/// The first `appid` of a query, which may be empty. As in Go, a pair with a bad escape does not count.
fn app_id_asked(query: &str) -> Option<Cow<'_, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_meant = unescape(key).is_ok_and(|key| key == "appid");
        unescape(value).ok().filter(|_| is_meant)
    })
}

/// `GET /v1.0/healthz/outbound`.
pub(super) fn outbound(face: &Face) -> Response {
    if face.outbound.is_ready() {
        return no_content();
    }
    let pending = face.outbound.pending().join(" ");
    error::unhealthy("ERR_OUTBOUND_HEALTH_NOT_READY", &format!("dapr outbound is not ready: [{pending}]"))
}

/// `POST /v1.0/shutdown`. The answer reaches the caller because the server finishes what it has read.
pub(super) fn shutdown(face: &Face) -> Response {
    tracing::info!("shutdown requested via API");
    face.stop.finish();
    no_content()
}

/// `GET /v1.0/metadata`. Members that are empty are left out, as in Dapr.
pub(super) fn metadata(face: &Face) -> Response {
    match serde_json::to_vec(&Page::of(face)) {
        Ok(page) => {
            let mut answer = Response::new(Body::from(page));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            answer
        }
        Err(failure) => {
            tracing::error!(error = %failure, "metadata page could not be written");
            error::internal()
        }
    }
}

fn no_content() -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    runtime_version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<ComponentEntry<'a>>,
    extended: BTreeMap<&'a str, &'a str>,
    app_connection_properties: AppEntry<'a>,
    actor_runtime: ActorEntry,
}

#[derive(Serialize)]
struct ComponentEntry<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    capabilities: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AppEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    protocol: &'a str,
    channel_address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<u32>,
}

/// There are no actors here; SDKs read the member all the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActorEntry {
    runtime_status: &'static str,
    host_ready: bool,
    placement: &'static str,
}

impl<'a> Page<'a> {
    fn of(face: &'a Face) -> Self {
        let entry = |described: crate::runtime::Description<'a>| ComponentEntry {
            name: described.name,
            type_name: described.type_name,
            version: described.version,
            capabilities: described.capabilities,
        };
        let mut extended: BTreeMap<_, _> =
            face.extended.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        extended.insert("daprRuntimeVersion", VERSION);
        Self {
            id: &face.app_id,
            runtime_version: VERSION,
            components: face.host.describe().map(entry).collect(),
            extended,
            app_connection_properties: AppEntry {
                port: face.app.port,
                protocol: &face.app.protocol,
                channel_address: &face.app.channel_address,
                max_concurrency: face.app.max_concurrency,
            },
            actor_runtime: ActorEntry {
                runtime_status: "DISABLED",
                host_ready: false,
                placement: "placement: disconnected",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_id_of_a_query_is_read_as_go_reads_it() {
        for (query, id) in [
            ("appid=shop", Some("shop")),
            ("x=1&appid=a%2Db+c&appid=other", Some("a-b c")),
            ("appid=", Some("")),
            ("appid", Some("")),
            ("%61ppid=shop", Some("shop")),
            ("appid=%zz&appid=shop", Some("shop")),
            ("appId=shop&app=1", None),
            ("", None),
        ] {
            assert_eq!(app_id_asked(query).as_deref(), id, "{query}");
        }
    }
}
