//! Which APIs are served: `api.allowed` and `api.denied`. Pure.

/// Rules for all APIs. Without any, everything is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiRules {
    /// If one of a protocol is given, only the listed APIs of this protocol are served.
    pub allowed: Vec<ApiRule>,
    /// Outranks `allowed`.
    pub denied: Vec<ApiRule>,
}

/// `{name, version, protocol}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRule {
    /// The group of the API, such as `bindings`, or the begin of its path.
    pub name: String,
    /// Such as `v1`; `v1.0` is accepted too.
    pub version: String,
    pub protocol: ApiProtocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiProtocol {
    Http,
    Grpc,
}

impl ApiRules {
    /// Whether an API is served. `group` is such as `bindings` and `group_version` such as `v1`; `path` is the version and
    /// the route, such as `v1.0/bindings/{name}`. Health checks are always served, so do not call it for them.
    #[must_use]
    pub fn is_allowed(&self, protocol: ApiProtocol, (group_version, group): (&str, &str), path: &str) -> bool {
        let matches = |rule: &ApiRule| {
            let key = format!("{}/{}", rule.version, rule.name);
            key == format!("{group_version}/{group}") || path.starts_with(&key)
        };
        let mut denied = self.denied.iter().filter(|rule| rule.protocol == protocol);
        let mut allowed = self.allowed.iter().filter(|rule| rule.protocol == protocol).peekable();
        !denied.any(matches) && (allowed.peek().is_none() || allowed.any(matches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(version: &str, name: &str, protocol: ApiProtocol) -> ApiRule {
        ApiRule { name: name.to_owned(), version: version.to_owned(), protocol }
    }

    #[test]
    fn denied_apis_are_not_served_and_with_an_allow_list_only_those_in_it() {
        use ApiProtocol::{Grpc, Http};
        let bindings =
            |rules: &ApiRules, protocol| rules.is_allowed(protocol, ("v1", "bindings"), "v1.0/bindings/{name}");
        let metadata = |rules: &ApiRules, protocol| rules.is_allowed(protocol, ("v1", "metadata"), "v1.0/metadata");
        let none = ApiRules::default();
        assert!(bindings(&none, Http) && metadata(&none, Grpc));
        for version in ["v1", "v1.0"] {
            let denied = ApiRules { denied: vec![rule(version, "bindings", Http)], ..ApiRules::default() };
            assert!(!bindings(&denied, Http) && metadata(&denied, Http) && bindings(&denied, Grpc), "{version}");
            let allowed = ApiRules { allowed: vec![rule(version, "bindings", Http)], ..ApiRules::default() };
            assert!(bindings(&allowed, Http) && !metadata(&allowed, Http) && metadata(&allowed, Grpc), "{version}");
            let both = ApiRules { denied: denied.denied, ..allowed };
            assert!(!bindings(&both, Http), "{version}: deny wins");
        }
        let other = ApiRules { denied: vec![rule("v2", "bindings", Http)], ..ApiRules::default() };
        assert!(bindings(&other, Http));
    }
}
