//! Which APIs are served: `spec.api.allowed` and `spec.api.denied` of Dapr's `Configuration`.

/// How an API is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiProtocol {
    Http,
    Grpc,
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRule {
    /// A group of Dapr's API, such as `bindings`, `metadata` or `shutdown`.
    pub name: String,
    /// `v1` or `v1.0`, which are the same, as are `v1alpha1` and `v1.0-alpha1`.
    pub version: String,
    pub protocol: ApiProtocol,
}

/// A part of the API, as rules name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedApi {
    name: &'static str,
    /// A rule for any of them is about it.
    versions: &'static [&'static str],
}

impl ServedApi {
    pub const BINDINGS: Self = Self { name: "bindings", versions: &["v1"] };
    pub const METADATA: Self = Self { name: "metadata", versions: &["v1"] };
    /// What bindd adds to the metadata, under `/v1.0-alpha1`. A rule for the metadata is about it too.
    pub const MORE_METADATA: Self = Self { name: "metadata", versions: &["v1alpha1", "v1"] };
    pub const SHUTDOWN: Self = Self { name: "shutdown", versions: &["v1"] };
    pub const COMPONENTS: Self = Self { name: "components", versions: &["v1alpha1", "v1"] };
    /// Under `/v3`. They are components, so a rule for those is about them too.
    pub const DATA_CONNECTORS: Self = Self { name: "components", versions: &["v3", "v1alpha1", "v1"] };

    const ALL: [Self; 6] =
        [Self::BINDINGS, Self::METADATA, Self::MORE_METADATA, Self::SHUTDOWN, Self::COMPONENTS, Self::DATA_CONNECTORS];

    fn is_meant_by(self, rule: &ApiRule) -> bool {
        rule.name == self.name && self.versions.contains(&rule.normal_version())
    }
}

/// The versions of the APIs of Dapr.
const DAPR_VERSIONS: [&str; 3] = ["v1", "v1alpha1", "v1beta1"];

impl ApiRule {
    /// Whether its version is one that no API of Dapr has, or that the API of its name does not have in bindd.
    #[must_use]
    pub fn has_unknown_version(&self) -> bool {
        let mut of_name = ServedApi::ALL.into_iter().filter(|api| api.name == self.name).peekable();
        if of_name.peek().is_none() {
            return !DAPR_VERSIONS.contains(&self.normal_version());
        }
        !of_name.any(|api| api.is_meant_by(self))
    }

    fn normal_version(&self) -> &str {
        match self.version.as_str() {
            "v1.0" => "v1",
            "v1.0-alpha1" => "v1alpha1",
            "v1.0-beta1" => "v1beta1",
            other => other,
        }
    }
}

/// The lists of one or more configurations. Empty lists allow everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiRules {
    /// If it has rules for a protocol, only these APIs are served over it.
    pub allowed: Vec<ApiRule>,
    /// Not served, even if they are allowed.
    pub denied: Vec<ApiRule>,
}

impl ApiRules {
    /// Whether an API is served over a protocol. Health checks are always served, so they are not asked about.
    #[must_use]
    pub fn is_allowed(&self, api: ServedApi, protocol: ApiProtocol) -> bool {
        let is_about = |rule: &&ApiRule| rule.protocol == protocol;
        let matches = |rule: &ApiRule| api.is_meant_by(rule);
        if self.denied.iter().filter(is_about).any(matches) {
            return false;
        }
        let mut allowed = self.allowed.iter().filter(is_about).peekable();
        allowed.peek().is_none() || allowed.any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<ApiRule> {
        let rule = |entry: &str| {
            let (protocol, api) = entry.split_once(':').unwrap();
            let (name, version) = api.split_once('/').unwrap();
            let protocol = if protocol == "http" { ApiProtocol::Http } else { ApiProtocol::Grpc };
            ApiRule { name: name.to_owned(), version: version.to_owned(), protocol }
        };
        text.split_whitespace().map(rule).collect()
    }

    #[test]
    fn deny_wins_and_a_list_of_allowed_apis_excludes_the_others() {
        for (allowed, denied, is_allowed) in [
            ("", "", true),
            ("http:bindings/v1", "", true),
            ("http:bindings/v1.0", "", true),
            ("http:metadata/v1", "", false),
            ("http:bindings/v1alpha1", "", false),
            ("grpc:metadata/v1", "", true),
            ("", "http:bindings/v1", false),
            ("", "http:bindings/v1.0", false),
            ("", "grpc:bindings/v1", true),
            ("http:bindings/v1", "http:bindings/v1", false),
            ("http:metadata/v1 http:bindings/v1", "http:metadata/v1", true),
        ] {
            let rules = ApiRules { allowed: rules(allowed), denied: rules(denied) };
            let result = rules.is_allowed(ServedApi::BINDINGS, ApiProtocol::Http);
            assert_eq!(result, is_allowed, "allowed {allowed}, denied {denied}");
        }
    }
    #[test]
    fn rules_for_any_version_of_an_api_are_about_it() {
        for (rule, denied) in [
            ("http:components/v1.0-alpha1", [true, true, false, false]),
            ("http:components/v1alpha1", [true, true, false, false]),
            ("http:components/v1.0", [true, true, false, false]),
            ("http:components/v3", [false, true, false, false]),
            ("http:metadata/v1.0-alpha1", [false, false, true, false]),
            ("http:metadata/v1", [false, false, true, true]),
            ("grpc:components/v1.0-alpha1", [false; 4]),
            ("http:components/v2", [false; 4]),
        ] {
            let rules = ApiRules { denied: rules(rule), ..ApiRules::default() };
            let apis =
                [ServedApi::COMPONENTS, ServedApi::DATA_CONNECTORS, ServedApi::MORE_METADATA, ServedApi::METADATA];
            assert_eq!(apis.map(|api| !rules.is_allowed(api, ApiProtocol::Http)), denied, "{rule}");
        }
    }

    #[test]
    fn versions_that_no_api_has_are_known() {
        for (rule, is_unknown) in [
            ("http:components/v1.0-alpha1", false),
            ("http:components/v3", false),
            ("http:components/v1.0-beta1", true),
            ("http:bindings/v1.0-alpha1", true),
            ("grpc:metadata/", true),
            ("http:state/v1.0-alpha1", false),
            ("http:workflows/v1.0-beta1", false),
            ("http:state/1.0", true),
        ] {
            assert_eq!(rules(rule)[0].has_unknown_version(), is_unknown, "{rule}");
        }
    }
}
