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
    /// Such as `v1` or `v1.0`, which are the same.
    pub version: String,
    pub protocol: ApiProtocol,
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
    pub fn is_allowed(&self, name: &str, version: &str, protocol: ApiProtocol) -> bool {
        let is_about = |rule: &&ApiRule| rule.protocol == protocol;
        let matches = |rule: &ApiRule| rule.name == name && normal(&rule.version) == normal(version);
        if self.denied.iter().filter(is_about).any(matches) {
            return false;
        }
        let mut allowed = self.allowed.iter().filter(is_about).peekable();
        allowed.peek().is_none() || allowed.any(matches)
    }
}

fn normal(version: &str) -> &str {
    version.strip_suffix(".0").unwrap_or(version)
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
            let result = rules.is_allowed("bindings", "v1", ApiProtocol::Http);
            assert_eq!(result, is_allowed, "allowed {allowed}, denied {denied}");
        }
    }
}
