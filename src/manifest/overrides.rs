//! Documents that take the place of those in the files.

use super::{Place, RawDocument};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Documents by name, each in place of the one of its name in the files, if there is one. `None` leaves that one out.
pub type Overrides = BTreeMap<String, Option<Arc<RawDocument>>>;

/// A document of a file whose place an override takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overridden {
    pub place: Place,
    pub document: Arc<RawDocument>,
}

/// What messages name as the file of an override.
#[must_use]
pub fn override_file(name: &str) -> String {
    format!("components API, {name}")
}
