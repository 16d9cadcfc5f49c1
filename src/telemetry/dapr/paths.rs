//! Which label a path gets.

use super::labels::MetricsRules;
use std::borrow::Cow;

/// Paths that Dapr always shows, because they are few.
const STATIC_PATHS: [&str; 4] = ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/metadata", "/v1.0/shutdown"];

#[derive(Debug)]
pub(super) struct PathLabels {
    has_paths: bool,
    has_methods: bool,
    patterns: Vec<String>,
}

impl PathLabels {
    pub(super) fn new(rules: &MetricsRules) -> Self {
        Self {
            has_paths: rules.increased_cardinality,
            has_methods: !rules.exclude_verbs,
            patterns: rules.path_matching.clone(),
        }
    }

    /// One of `known`, or `UNKNOWN`.
    pub(super) fn method(&self, method: &str, known: &[&'static str]) -> &'static str {
        if !self.has_methods {
            return "";
        }
        known.iter().find(|known| **known == method).copied().unwrap_or("UNKNOWN")
    }

    pub(super) const fn shows_any(&self) -> bool {
        self.has_paths || !self.patterns.is_empty()
    }

    /// The first pattern that matches, else the path itself if paths are shown, else nothing.
    pub(super) fn path(&self, path: &str) -> Cow<'static, str> {
        if !self.shows_any() {
            return Cow::Borrowed("");
        }
        if let Some(known) = STATIC_PATHS.iter().find(|known| **known == path) {
            return Cow::Borrowed(known);
        }
        match self.patterns.iter().find(|pattern| matches(pattern, path)) {
            Some(pattern) => Cow::Owned(pattern.clone()),
            None if self.has_paths => Cow::Owned(path.to_owned()),
            None => Cow::Borrowed(""),
        }
    }
}

/// Whether each segment is the same, or `{…}` in the pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut expected, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other || (one.starts_with('{') && one.ends_with('}')) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_as_configured() {
        let rules = |has_paths, patterns: &[&str]| MetricsRules {
            increased_cardinality: has_paths,
            path_matching: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
            ..MetricsRules::default()
        };
        let bindings = "/v1.0/bindings/{name}";
        for (has_paths, patterns, path, label) in [
            (false, vec![], "/v1.0/bindings/orders", ""),
            (false, vec![], "/v1.0/metadata", ""),
            (true, vec![], "/v1.0/bindings/orders", "/v1.0/bindings/orders"),
            (false, vec![bindings], "/v1.0/bindings/orders", bindings),
            (false, vec![bindings], "/v1.0/bindings/orders/more", ""),
            (false, vec![bindings], "/v1.0/metadata", "/v1.0/metadata"),
            (true, vec![bindings], "/other", "/other"),
        ] {
            assert_eq!(PathLabels::new(&rules(has_paths, &patterns)).path(path), label, "{patterns:?} {path}");
        }
        let labels = PathLabels::new(&rules(false, &[]));
        assert_eq!((labels.method("POST", &["POST"]), labels.method("BREW", &["POST"])), ("POST", "UNKNOWN"));
        let labels = PathLabels::new(&MetricsRules { exclude_verbs: true, ..MetricsRules::default() });
        assert_eq!(labels.method("POST", &["POST"]), "");
    }
}
