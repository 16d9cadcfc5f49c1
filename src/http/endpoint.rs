//! The endpoints of the API, by method and path. Matched by hand and not by a router, because the parameters are a part of
//! a path as it was sent, and the names of components may change. `openapi.json` describes each route of the table.

use crate::domain::{ApiProtocol, ApiRules, ServedApi};
use http::Method;

const HEALTH: &str = "/v1.0/healthz";
const OUTBOUND_HEALTH: &str = "/v1.0/healthz/outbound";
const METADATA: &str = "/v1.0/metadata";
const CONNECTORS: &str = "/v3/apps/{app}/dataconnectors";
/// The path of all components.
pub(super) const COMPONENTS: &str = "/v1.0-alpha1/components";
/// All routes, those that are called most first.
pub(super) static ROUTES: [Route; 27] = [
    Route::new(Method::POST, "/v1.0/bindings/{name}", Endpoint::Invoke),
    Route::new(Method::PUT, "/v1.0/bindings/{name}", Endpoint::Invoke),
    Route::new(Method::GET, HEALTH, Endpoint::Health),
    Route::new(Method::GET, OUTBOUND_HEALTH, Endpoint::OutboundHealth),
    Route::new(Method::GET, METADATA, Endpoint::Metadata),
    Route::new(Method::PUT, "/v1.0/metadata/{key}", Endpoint::SetMetadata),
    Route::new(Method::POST, "/v1.0/shutdown", Endpoint::Shutdown),
    Route::new(Method::GET, "/v1.0-alpha1/inputs", Endpoint::Inputs),
    Route::new(Method::GET, "/v1.0-alpha1/openapi.json", Endpoint::OpenApi),
    Route::component(Method::GET, COMPONENTS, ComponentEndpoint::List),
    Route::component(Method::POST, COMPONENTS, ComponentEndpoint::Create),
    Route::component(Method::POST, "/v1.0-alpha1/components/test", ComponentEndpoint::Test),
    Route::component(Method::GET, "/v1.0-alpha1/components/{name}", ComponentEndpoint::Get),
    Route::component(Method::PUT, "/v1.0-alpha1/components/{name}", ComponentEndpoint::Replace),
    Route::component(Method::PATCH, "/v1.0-alpha1/components/{name}", ComponentEndpoint::Patch),
    Route::component(Method::DELETE, "/v1.0-alpha1/components/{name}", ComponentEndpoint::Delete),
    Route::component(Method::GET, "/v1.0-alpha1/components/{name}/status", ComponentEndpoint::Status),
    Route::component(Method::POST, "/v1.0-alpha1/components/{name}/enable", ComponentEndpoint::Enable),
    Route::component(Method::POST, "/v1.0-alpha1/components/{name}/disable", ComponentEndpoint::Disable),
    Route::component(Method::POST, "/v1.0-alpha1/components/{name}/test", ComponentEndpoint::TestExisting),
    Route::connector(Method::GET, CONNECTORS, ConnectorEndpoint::List),
    Route::connector(Method::POST, CONNECTORS, ConnectorEndpoint::Create),
    Route::connector(Method::POST, "/v3/apps/{app}/dataconnectors/test", ConnectorEndpoint::Test),
    Route::connector(Method::GET, "/v3/apps/{app}/dataconnectors/{id}", ConnectorEndpoint::Get),
    Route::connector(Method::PUT, "/v3/apps/{app}/dataconnectors/{id}", ConnectorEndpoint::Update),
    Route::connector(Method::DELETE, "/v3/apps/{app}/dataconnectors/{id}", ConnectorEndpoint::Delete),
    Route::connector(Method::GET, "/v3/apps/{app}/dataconnectors/{id}/test", ConnectorEndpoint::TestExisting),
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

    const fn component(method: Method, path: &'static str, endpoint: ComponentEndpoint) -> Self {
        Self::new(method, path, Endpoint::Component(endpoint))
    }

    const fn connector(method: Method, path: &'static str, endpoint: ConnectorEndpoint) -> Self {
        Self::new(method, path, Endpoint::Connector(endpoint))
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
    Component(ComponentEndpoint),
    Connector(ConnectorEndpoint),
}

/// What a request to `/v1.0-alpha1/components` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComponentEndpoint {
    List,
    Get,
    Status,
    Create,
    Replace,
    Patch,
    Enable,
    Disable,
    Delete,
    Test,
    TestExisting,
}

impl ComponentEndpoint {
    pub(super) const fn has_body(self) -> bool {
        matches!(self, Self::Create | Self::Replace | Self::Patch | Self::Test)
    }

    pub(super) const fn has_name(self) -> bool {
        !matches!(self, Self::List | Self::Create | Self::Test)
    }
}

/// What a request about data connectors asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectorEndpoint {
    List,
    Create,
    Get,
    Update,
    Delete,
    Test,
    TestExisting,
}

impl ConnectorEndpoint {
    pub(super) const fn has_body(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Test)
    }
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
            Self::Component(_) => "ManageComponents",
            Self::Connector(_) => "DataConnectors",
        }
    }

    /// Whether it changes what runs, and needs the token for that.
    pub(super) const fn is_admin(self) -> bool {
        matches!(self, Self::Component(_) | Self::Connector(_))
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
        let api = match self {
            Self::Health | Self::OutboundHealth => return true,
            Self::Metadata | Self::SetMetadata => ServedApi::METADATA,
            Self::Inputs | Self::OpenApi => ServedApi::MORE_METADATA,
            Self::Shutdown => ServedApi::SHUTDOWN,
            Self::Invoke => ServedApi::BINDINGS,
            Self::Component(_) => ServedApi::COMPONENTS,
            Self::Connector(_) => ServedApi::DATA_CONNECTORS,
        };
        rules.is_allowed(api, ApiProtocol::Http)
    }
}

/// Whether a path needs no token, with any method.
pub(super) fn is_health_path(path: &str) -> bool {
    matches!(path, HEALTH | OUTBOUND_HEALTH)
}

/// Whether a path is one of those that need the token for changes, or below them.
pub(super) fn is_admin_path(path: &str) -> bool {
    let is_below = path.strip_prefix(COMPONENTS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_below || path.starts_with("/v3/apps/")
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
            ("GET /v1.0-alpha1/components", Some(Endpoint::Component(ComponentEndpoint::List))),
            ("POST /v1.0-alpha1/components", Some(Endpoint::Component(ComponentEndpoint::Create))),
            ("POST /v1.0-alpha1/components/test", Some(Endpoint::Component(ComponentEndpoint::Test))),
            ("GET /v1.0-alpha1/components/test", Some(Endpoint::Component(ComponentEndpoint::Get))),
            ("PUT /v1.0-alpha1/components/a%20b", Some(Endpoint::Component(ComponentEndpoint::Replace))),
            ("PATCH /v1.0-alpha1/components/a", Some(Endpoint::Component(ComponentEndpoint::Patch))),
            ("DELETE /v1.0-alpha1/components/a", Some(Endpoint::Component(ComponentEndpoint::Delete))),
            ("GET /v1.0-alpha1/components/a/status", Some(Endpoint::Component(ComponentEndpoint::Status))),
            ("POST /v1.0-alpha1/components/a/enable", Some(Endpoint::Component(ComponentEndpoint::Enable))),
            ("POST /v1.0-alpha1/components/a/disable", Some(Endpoint::Component(ComponentEndpoint::Disable))),
            ("POST /v1.0-alpha1/components/a/test", Some(Endpoint::Component(ComponentEndpoint::TestExisting))),
            ("POST /v1.0-alpha1/components/a", None),
            ("PUT /v1.0-alpha1/components", None),
            ("GET /v1.0-alpha1/components/a/b", None),
            ("POST /v1.0-alpha1/components/a/test/b", None),
            ("GET /v1.0-alpha1/componentsx", None),
            ("GET /v3/apps/shop/dataconnectors", Some(Endpoint::Connector(ConnectorEndpoint::List))),
            ("POST /v3/apps/shop/dataconnectors/test", Some(Endpoint::Connector(ConnectorEndpoint::Test))),
            ("GET /v3/apps/shop/dataconnectors/test", Some(Endpoint::Connector(ConnectorEndpoint::Get))),
            ("GET /v3/apps/shop/dataconnectors/a/test", Some(Endpoint::Connector(ConnectorEndpoint::TestExisting))),
            ("POST /v3/apps/shop/dataconnectors/a/test", None),
            ("PATCH /v3/apps/shop/dataconnectors/a", None),
            ("GET /v3/apps//dataconnectors", None),
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
        let rule_of = |name: &str, version: &str| ApiRule {
            name: name.to_owned(),
            version: version.to_owned(),
            protocol: ApiProtocol::Http,
        };
        let rule = |name: &str| rule_of(name, "v1.0");
        let denied = ApiRules { denied: vec![rule("bindings"), rule("healthz")], ..ApiRules::default() };
        let only_metadata = ApiRules { allowed: vec![rule("metadata")], ..ApiRules::default() };
        let no_alpha = ["components", "metadata"].map(|name| rule_of(name, "v1.0-alpha1"));
        let no_alpha = ApiRules { denied: no_alpha.to_vec(), ..ApiRules::default() };
        for (endpoint, is_allowed) in [
            (Endpoint::Health, [true, true, true]),
            (Endpoint::OutboundHealth, [true, true, true]),
            (Endpoint::Metadata, [true, true, true]),
            (Endpoint::SetMetadata, [true, true, true]),
            (Endpoint::Inputs, [true, true, false]),
            (Endpoint::OpenApi, [true, true, false]),
            (Endpoint::Shutdown, [true, false, true]),
            (Endpoint::Invoke, [false, false, true]),
            (Endpoint::Component(ComponentEndpoint::List), [true, false, false]),
            (Endpoint::Connector(ConnectorEndpoint::List), [true, false, false]),
        ] {
            assert_eq!(
                [&denied, &only_metadata, &no_alpha].map(|rules| endpoint.is_allowed(rules)),
                is_allowed,
                "{endpoint:?}"
            );
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
