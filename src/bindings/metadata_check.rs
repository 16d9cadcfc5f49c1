//! Names in the metadata of requests. Apps written for Dapr may send any, so an unknown one is no fault; but one that is
//! nearly ours was most likely meant for us, and its having no effect is told in the log.

use crate::domain::Metadata;
use crate::manifest::nearest;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The most names that are judged; one more is taken in silence. Apps have few, and what callers make up must not fill
/// memory or log.
const MOST: usize = 256;
/// A longer name is nobody's slip.
const LONGEST: usize = 60;

/// What every request of a traced app brings.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The metadata that one component knows, and which other names it has met.
#[derive(Debug)]
pub(super) struct MetadataCheck {
    component: String,
    known: &'static [&'static str],
    /// Locked only for a name that is not known, and never across an await.
    met: Mutex<HashSet<String>>,
}

impl MetadataCheck {
    pub(super) fn new(component: &str, known: &'static [&'static str]) -> Self {
        Self { component: component.to_owned(), known, met: Mutex::default() }
    }

    /// Warns once of each name that has no effect although it is nearly one that has.
    pub(super) fn warn_about_unknown(&self, metadata: &Metadata) {
        let unknown = metadata.names().filter(|name| !self.known.contains(name) && !TRACE.contains(name));
        for name in unknown.filter(|name| self.is_new(name)) {
            match nearest(name, self.known.iter().copied()) {
                Some(meant) => tracing::warn!(
                    component = %self.component, name, meant,
                    "request metadata was ignored, its name is not quite one that has an effect"
                ),
                None => tracing::debug!(component = %self.component, name, "request metadata was ignored"),
            }
        }
    }

    /// Whether this name is met for the first time.
    fn is_new(&self, name: &str) -> bool {
        if name.len() > LONGEST {
            return false;
        }
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.len() < MOST && !met.contains(name) && met.insert(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["partitionKey", "timeout", "etag", "ttlInSeconds"];

    #[test]
    fn slips_are_told_from_words_of_others() {
        for (written, meant) in [
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
            assert_eq!(nearest(written, KNOWN.iter().copied()), meant, "{written}");
        }
    }

    #[test]
    fn each_name_is_told_once_and_not_without_end() {
        let names = MetadataCheck::new("orders", KNOWN);
        assert!(names.is_new("Timeout") && !names.is_new("Timeout"));
        assert!(names.is_new("timeOut"), "another spelling is another name");
        assert!(!names.is_new(&format!("timeout{}", " ".repeat(LONGEST))));
        for number in 2..MOST {
            assert!(names.is_new(&format!("made up {number}")));
        }
        assert!(!names.is_new("TIMEOUT"), "the list is full");
        assert_eq!(names.met.lock().unwrap().len(), MOST);
    }

    #[test]
    fn what_is_known_takes_no_room() {
        let names = MetadataCheck::new("orders", KNOWN);
        let pair = |name: &str| (name.to_owned(), "x".to_owned());
        names.warn_about_unknown(&["timeout", "traceparent", "partitionkey"].map(pair).into_iter().collect());
        assert_eq!(*names.met.lock().unwrap(), HashSet::from(["partitionkey".to_owned()]));
    }
}
