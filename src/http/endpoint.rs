//! The endpoints of the API, by method and path. Matched by hand and not by a router, because the parameters are a part of
//! a path as it was sent, and the names of components may change. `openapi.json` describes each route of the table.

use crate::domain::{ApiProtocol, ApiRules};
use http::Method;

const HEALTH: &str = "/v1.0/healthz";
const OUTBOUND_HEALTH: &str = "/v1.0/healthz/outbound";
const METADATA: &str = "/v1.0/metadata";
/// All routes, those that are called most first.
pub(super) static ROUTES: [Route; 9] = [
    Route::new(Method::POST, "/v1.0/bindings/{name}", Endpoint::Invoke),
    Route::new(Method::PUT, "/v1.0/bindings/{name}", Endpoint::Invoke),
    Route::new(Method::GET, HEALTH, Endpoint::Health),
    Route::new(Method::GET, OUTBOUND_HEALTH, Endpoint::OutboundHealth),
    Route::new(Method::GET, METADATA, Endpoint::Metadata),
    Route::new(Method::PUT, "/v1.0/metadata/{key}", Endpoint::SetMetadata),
    Route::new(Method::POST, "/v1.0/shutdown", Endpoint::Shutdown),
    Route::new(Method::GET, "/v1.0-alpha1/inputs", Endpoint::Inputs),
    Route::new(Method::GET, "/v1.0-alpha1/openapi.json", Endpoint::OpenApi),
];
/// The parts of Dapr's API that bindd does not serve, by the first segment after the version.
pub(super) const OTHER_BLOCKS: [(&str, &str); 16] = [
    ("actors", "actors"),
    ("configuration", "configuration"),
    ("conversation", "conversation"),
    ("crypto", "cryptography"),
    ("invoke", "service invocation"),
    ("job", "jobs"),
    ("jobs", "jobs"),
    ("lock", "locks"),
    ("publish", "pub/sub"),
    ("secrets", "secrets"),
    ("shared-secrets", "secrets"),
    ("state", "state"),
    ("subscribe", "pub/sub"),
    ("unlock", "locks"),
    ("workflow", "workflows"),
    ("workflows", "workflows"),
];

/// A method and a path. In the path, a name in braces stands for one segment that is not empty.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) endpoint: Endpoint,
}

impl Route {
    const fn new(method: Method, path: &'static str, endpoint: Endpoint) -> Self {
        Self { method, path, endpoint }
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        if self.method != *method {
            return false;
        }
        let (mut expected, mut segments) = (self.path.split('/'), path.split('/'));
        loop {
            match (expected.next(), segments.next()) {
                (None, None) => return true,
                (Some(expected), Some(segment)) if expected == segment => {}
                (Some(expected), Some(segment)) if expected.starts_with('{') && !segment.is_empty() => {}
                (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => return false,
            }
        }
    }
}

/// What a request asks for. The parameter of an endpoint that has one is the last segment of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Health,
    OutboundHealth,
    Metadata,
    SetMetadata,
    Inputs,
    OpenApi,
    Shutdown,
    Invoke,
}

impl Endpoint {
    /// `path` must be clean. daprd answers other methods with 404, never with 405, since it takes them for a service
    /// invocation. That includes `HEAD`.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        ROUTES.iter().find(|route| route.matches(method, path)).map(|route| route.endpoint)
    }

    /// Dapr's name of it, for the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Health => "Healthz",
            Self::OutboundHealth => "HealthzOutbound",
            Self::Metadata => "GetMetadata",
            Self::SetMetadata => "SetMetadata",
            Self::Inputs => "GetInputs",
            Self::OpenApi => "GetOpenApi",
            Self::Shutdown => "Shutdown",
            Self::Invoke => "InvokeBinding",
        }
    }

    pub(super) const fn is_health(self) -> bool {
        matches!(self, Self::Health | Self::OutboundHealth)
    }

    /// Whether it is served on the public port. Not `SetMetadata`, which daprd serves there too: the port has no token.
    pub(super) const fn is_public(self) -> bool {
        matches!(self, Self::Health | Self::OutboundHealth | Self::Metadata)
    }

    /// Whether the rules of the Configuration allow it. Health is always served. The list of inputs and the
    /// description of the API are a part of the metadata.
    pub(super) fn is_allowed(self, rules: &ApiRules) -> bool {
        let name = match self {
            Self::Health | Self::OutboundHealth => return true,
            Self::Metadata | Self::SetMetadata | Self::Inputs | Self::OpenApi => "metadata",
            Self::Shutdown => "shutdown",
            Self::Invoke => "bindings",
        };
        rules.is_allowed(name, "v1", ApiProtocol::Http)
    }
}

/// Whether a path needs no token, with any method.
pub(super) fn is_health_path(path: &str) -> bool {
    matches!(path, HEALTH | OUTBOUND_HEALTH)
}

/// The last segment of a path.
pub(super) fn parameter(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The part of Dapr's API that a path without an endpoint belongs to, if it is one.
pub(super) fn other_block(path: &str) -> Option<&'static str> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    let first = rest.split('/').next()?;
    OTHER_BLOCKS.iter().find(|(segment, _)| version.starts_with("v1.0") && *segment == first).map(|(_, block)| *block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ApiRule;

    #[test]
    fn methods_and_paths_are_matched_as_in_daprd() {
        for (request, endpoint) in [
            ("GET /v1.0/healthz", Some(Endpoint::Health)),
            ("GET /v1.0/healthz/outbound", Some(Endpoint::OutboundHealth)),
            ("GET /v1.0/metadata", Some(Endpoint::Metadata)),
            ("PUT /v1.0/metadata/a%2Fb", Some(Endpoint::SetMetadata)),
            ("POST /v1.0/shutdown", Some(Endpoint::Shutdown)),
            ("GET /v1.0-alpha1/inputs", Some(Endpoint::Inputs)),
            ("GET /v1.0-alpha1/openapi.json", Some(Endpoint::OpenApi)),
            ("POST /v1.0/bindings/a%20b", Some(Endpoint::Invoke)),
            ("PUT /v1.0/bindings/{name}", Some(Endpoint::Invoke)),
            ("HEAD /v1.0/healthz", None),
            ("POST /v1.0/healthz", None),
            ("GET /v1.0/healthz/other", None),
            ("PUT /v1.0/metadata", None),
            ("POST /v1.0/metadata/key", None),
            ("PUT /v1.0/metadata/a/b", None),
            ("PUT /v1.0/metadatakey", None),
            ("GET /v1.0/shutdown", None),
            ("GET /v1.0/bindings/a", None),
            ("PATCH /v1.0/bindings/a", None),
            ("DELETE /v1.0/bindings/a", None),
            ("OPTIONS /v1.0/bindings/a", None),
            ("post /v1.0/bindings/a", None),
            ("POST /v1.0/bindings/", None),
            ("POST /v1.0/bindings", None),
            ("POST /v1.0/bindings/a/b", None),
            ("POST /V1.0/bindings/a", None),
            ("POST /v1.0-alpha1/bindings/a", None),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            assert_eq!(Endpoint::of(&method.parse().unwrap(), path), endpoint, "{request}");
        }
    }

    #[test]
    fn denied_endpoints_are_not_served_and_health_always_is() {
        let rule =
            |name: &str| ApiRule { name: name.to_owned(), version: "v1.0".to_owned(), protocol: ApiProtocol::Http };
        let denied = ApiRules { denied: vec![rule("bindings"), rule("healthz")], ..ApiRules::default() };
        let only_metadata = ApiRules { allowed: vec![rule("metadata")], ..ApiRules::default() };
        for (endpoint, is_allowed) in [
            (Endpoint::Health, [true, true]),
            (Endpoint::OutboundHealth, [true, true]),
            (Endpoint::Metadata, [true, true]),
            (Endpoint::SetMetadata, [true, true]),
            (Endpoint::Inputs, [true, true]),
            (Endpoint::OpenApi, [true, true]),
            (Endpoint::Shutdown, [true, false]),
            (Endpoint::Invoke, [false, false]),
        ] {
            assert_eq!([&denied, &only_metadata].map(|rules| endpoint.is_allowed(rules)), is_allowed, "{endpoint:?}");
        }
    }

    #[test]
    fn other_parts_of_the_api_are_known_by_name() {
        for (path, block) in [
            ("/v1.0/state/store/key", Some("state")),
            ("/v1.0-alpha1/state/store/query", Some("state")),
            ("/v1.0/invoke/app/method/x", Some("service invocation")),
            ("/v1.0/publish/pubsub/topic", Some("pub/sub")),
            ("/v1.0-beta1/workflows/dapr/x/start", Some("workflows")),
            ("/v1.0/bindings/a/b", None),
            ("/v1.0/states", None),
            ("/v2/state/x", None),
            ("/state", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(other_block(path), block, "{path}");
        }
    }
}
