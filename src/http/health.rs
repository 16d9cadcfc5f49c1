//! Health and metadata.

use super::error::{ApiError, ErrorFormat};
use super::extended::VERSION;
use super::inputs::{self, InputEntry};
use super::invoke::unescape;
use super::json_response::json_response;
use super::state::{ApiState, AppHealth};
use crate::domain::GoDuration;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

type Health = Result<StatusCode, ApiError<'static>>;

/// `GET /v1.0/healthz`, with Dapr's optional `?appid=` that must match.
pub(super) fn full(state: &ApiState, query: Option<&str>) -> Health {
    // An input that waits for an operator is not ready either.
    let pending = [state.ready.pending(), state.host.refusals()].concat();
    if !state.ready.is_ready() || !pending.is_empty() {
        let message = format!("dapr is not ready: [{}]", pending.join(" "));
        return Err(ApiError::Unhealthy { code: "ERR_HEALTH_NOT_READY", message });
    }
    if queried_app_id(query.unwrap_or_default()).is_some_and(|id| id != state.app_id) {
        let message = "dapr app-id does not match".to_owned();
        return Err(ApiError::Unhealthy { code: "ERR_HEALTH_APPID_NOT_MATCH", message });
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The first `appid` of a query, which may be empty. As in Go, a pair with a bad escape does not count.
fn queried_app_id(query: &str) -> Option<Cow<'_, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_app_id = unescape(key).is_ok_and(|key| key == "appid");
        unescape(value).ok().filter(|_| is_app_id)
    })
}

/// `GET /v1.0/healthz/outbound`.
pub(super) fn outbound(state: &ApiState) -> Health {
    if state.outbound.is_ready() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut message = "dapr outbound is not ready".to_owned();
    if state.settings.error_format() == ErrorFormat::Precise {
        message = format!("{message}: [{}]", state.outbound.pending().join(" "));
    }
    Err(ApiError::Unhealthy { code: "ERR_OUTBOUND_HEALTH_NOT_READY", message })
}

/// `GET /v1.0/metadata`. Empty members are left out, as in Dapr.
pub(super) fn metadata(state: &ApiState) -> Response {
    json_response(&Page::new(state))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    runtime_version: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    enabled_features: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<ComponentEntry>,
    extended: BTreeMap<String, String>,
    app_connection_properties: AppEntry<'a>,
    actor_runtime: ActorEntry,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resiliencies: Vec<NameEntry>,
    /// Not of Dapr, whose clients ignore members that they do not know. Left out with `--dapr-compat`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<InputEntry>,
}

#[derive(Serialize)]
struct ComponentEntry {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_path: Option<&'a str>,
    health_probe_interval: String,
    health_probe_timeout: String,
    health_threshold: u32,
}

#[derive(Serialize)]
struct NameEntry {
    name: String,
}

/// There are no actors; SDKs read the member nevertheless.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActorEntry {
    runtime_status: &'static str,
    host_ready: bool,
    placement: &'static str,
}

impl<'a> Page<'a> {
    fn new(state: &'a ApiState) -> Self {
        let entry = |described: crate::runtime::Description| ComponentEntry {
            name: described.name,
            type_name: described.type_name,
            version: described.version,
            capabilities: described.capabilities,
        };
        Self {
            id: &state.app_id,
            runtime_version: VERSION,
            enabled_features: &state.features,
            components: state.host.describe().map(entry).collect(),
            extended: state.extended_metadata(),
            app_connection_properties: AppEntry {
                port: state.app.port,
                protocol: &state.app.protocol,
                channel_address: &state.app.channel_address,
                max_concurrency: state.app.max_concurrency,
                health: state.app.health.as_ref().map(HealthEntry::new),
            },
            actor_runtime: ActorEntry {
                runtime_status: "DISABLED",
                host_ready: false,
                placement: "placement: disconnected",
            },
            resiliencies: state.host.policies().names().into_iter().map(|name| NameEntry { name }).collect(),
            inputs: if state.settings.hides_inputs { Vec::new() } else { inputs::entries(state) },
        }
    }
}

impl<'a> HealthEntry<'a> {
    fn new(health: &'a AppHealth) -> Self {
        Self {
            health_check_path: health.path.as_deref(),
            health_probe_interval: GoDuration(health.interval).to_string(),
            health_probe_timeout: GoDuration(health.timeout).to_string(),
            health_threshold: health.threshold,
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
            assert_eq!(queried_app_id(query).as_deref(), id, "{query}");
        }
    }
}
