//! Warns about misspelt names in the metadata of requests. Apps written for Dapr may send any name, so an unknown one
//! is not an error. One that resembles a known name is logged once as a warning.

use crate::domain::Metadata;
use crate::manifest::nearest;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// How many unknown names are remembered and logged. Apps use few names; generated ones must not fill the memory or the
/// log.
const MAX_NAMES: usize = 256;
/// A longer name is not a typing error.
const MAX_LENGTH: usize = 60;

/// Sent with every request of a traced app.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The metadata names that one component knows, and the other names that it has seen.
#[derive(Debug)]
pub(super) struct MetadataCheck {
    component: String,
    known: &'static [&'static str],
    /// Locked only for a name that is not known, and never across an await.
    seen: Mutex<HashSet<String>>,
}

impl MetadataCheck {
    pub(super) fn new(component: &str, known: &'static [&'static str]) -> Self {
        Self { component: component.to_owned(), known, seen: Mutex::default() }
    }

    /// Warns once about each unknown name that resembles a known one.
    pub(super) fn warn_about_unknown(&self, metadata: &Metadata) {
        let unknown = metadata.names().filter(|name| !self.known.contains(name) && !TRACE_HEADERS.contains(name));
        for name in unknown.filter(|name| self.is_new(name)) {
            match nearest(name, self.known.iter().copied()) {
                Some(did_you_mean) => tracing::warn!(
                    component = %self.component, name, did_you_mean,
                    "unknown request metadata ignored"
                ),
                None => {
                    tracing::debug!(component = %self.component, name, "unknown request metadata ignored")
                }
            }
        }
    }

    fn is_new(&self, name: &str) -> bool {
        if name.len() > MAX_LENGTH {
            return false;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.len() < MAX_NAMES && !seen.contains(name) && seen.insert(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["partitionKey", "timeout", "etag", "ttlInSeconds"];

    #[test]
    fn typing_errors_differ_from_other_names() {
        for (written, expected) in [
            ("partitionkey", Some("partitionKey")),
            ("partition_key", Some("partitionKey")),
            ("partitonKey", Some("partitionKey")),
            ("Timeout", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("eTag", Some("etag")),
            ("ttlInSecond", Some("ttlInSeconds")),
            ("traceparent", None),
            ("tag", Some("etag")),
            ("key", None),
            ("path", None),
            ("contentType", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, KNOWN.iter().copied()), expected, "{written}");
        }
    }

    #[test]
    fn each_name_is_logged_once_and_the_list_is_bounded() {
        let names = MetadataCheck::new("orders", KNOWN);
        assert!(names.is_new("Timeout") && !names.is_new("Timeout"));
        assert!(names.is_new("timeOut"), "names are compared with case");
        assert!(!names.is_new(&format!("timeout{}", " ".repeat(MAX_LENGTH))));
        for number in 2..MAX_NAMES {
            assert!(names.is_new(&format!("made up {number}")));
        }
        assert!(!names.is_new("TIMEOUT"), "the list is full");
        assert_eq!(names.seen.lock().unwrap().len(), MAX_NAMES);
    }

    #[test]
    fn known_names_are_not_remembered() {
        let names = MetadataCheck::new("orders", KNOWN);
        let pair = |name: &str| (name.to_owned(), "x".to_owned());
        names.warn_about_unknown(&["timeout", "traceparent", "partitionkey"].map(pair).into_iter().collect());
        assert_eq!(*names.seen.lock().unwrap(), HashSet::from(["partitionkey".to_owned()]));
    }
}
