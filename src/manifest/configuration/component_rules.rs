//! Which components may be loaded: `components.deny`. Pure.

/// The types that are not loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentRules {
    pub denied: Vec<ComponentRule>,
}

/// `type` or `type/version`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRule {
    pub component_type: String,
    /// Every version if there is none.
    pub version: Option<String>,
}

impl ComponentRules {
    /// Reads the entries; empty ones and ones with more than one `/` have no effect, as in Dapr.
    pub(super) fn new<'e>(entries: impl IntoIterator<Item = &'e str>) -> Self {
        let rule = |entry: &str| {
            let (component_type, version) = match entry.split_once('/') {
                Some((_, version)) if version.contains('/') => return None,
                Some((component_type, version)) => (component_type, Some(version)),
                None => (entry, None),
            };
            let version = version.filter(|version| !version.is_empty()).map(str::to_owned);
            Some(ComponentRule { component_type: component_type.to_owned(), version })
        };
        Self { denied: entries.into_iter().filter(|entry| !entry.is_empty()).filter_map(rule).collect() }
    }

    /// Case makes no difference, as it makes none in the type of a component. No version is `v1`.
    #[must_use]
    pub fn is_denied(&self, component_type: &str, version: &str) -> bool {
        let version = if version.is_empty() { "v1" } else { version };
        self.denied.iter().any(|rule| {
            rule.component_type.eq_ignore_ascii_case(component_type)
                && rule.version.as_ref().is_none_or(|denied| denied.eq_ignore_ascii_case(version))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_denied_in_all_versions_or_in_one() {
        let rules = ComponentRules::new(["bindings.aws.kinesis", "", "bindings.aws.dynamodb/v1", "a/b/c"]);
        for (component_type, version, denied) in [
            ("bindings.aws.kinesis", "v1", true),
            ("Bindings.AWS.Kinesis", "v2", true),
            ("bindings.aws.dynamodb", "v1", true),
            ("bindings.aws.dynamodb", "", true),
            ("bindings.aws.dynamodb", "v2", false),
            ("a", "b", false),
            ("", "", false),
        ] {
            assert_eq!(rules.is_denied(component_type, version), denied, "{component_type}/{version}");
        }
        assert!(!ComponentRules::default().is_denied("bindings.aws.kinesis", "v1"));
    }
}
