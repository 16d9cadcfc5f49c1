//! What a component document says, to be compared with a later reading of its file.

use super::document::{Document, Item};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::time::Duration;

/// The items that name a method, in lower case.
const METHOD_ITEMS: [&str; 2] = ["method", "dataprocessingmethodid"];

/// What a document says after its references were resolved. Two are equal if the components would be the same: formatting,
/// place, the order of items, and metadata other than the name make no difference. A `{uuid}` is equal to itself, although
/// each reading fills in another. The program of a method is part of what its users say. `Debug` shows no values.
#[derive(Clone)]
pub struct Content {
    component_type: String,
    version: String,
    ignore_errors: bool,
    disabled: bool,
    init_timeout: Duration,
    /// By name in lower case; in the order of names.
    items: Vec<(String, Option<SecretString>)>,
    lacks_values: bool,
    /// The program of the method that it names.
    program: Option<String>,
}

impl Document {
    /// What it says, to be compared with a later reading.
    #[must_use]
    pub fn content(&self) -> Content {
        let compared = |item: &Item| item.compared.clone().or_else(|| item.value.clone());
        let mut items: Vec<_> = self.items.iter().map(|item| (item.name.to_lowercase(), compared(item))).collect();
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut named = items.iter().filter(|(name, _)| METHOD_ITEMS.contains(&name.as_str()));
        // One of the two may be empty.
        let method = named.find_map(|(_, name)| self.methods().get(name.as_ref()?.expose_secret()));
        Content {
            program: method.map(|method| method.program.clone()),
            component_type: self.component_type.to_lowercase(),
            version: self.version.to_lowercase(),
            ignore_errors: self.ignore_errors,
            disabled: self.disabled,
            init_timeout: self.init_timeout,
            items,
            lacks_values: self.lacks_values,
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.component_type == other.component_type
            && self.version == other.version
            && self.ignore_errors == other.ignore_errors
            && self.disabled == other.disabled
            && self.init_timeout == other.init_timeout
            && self.program == other.program
            && self.values().eq(other.values())
    }
}

impl Eq for Content {}

impl Content {
    /// Whether a value is empty only because its variable or secret could not be read (`--dapr-compat`). It makes no
    /// difference by itself.
    #[must_use]
    pub const fn lacks_values(&self) -> bool {
        self.lacks_values
    }

    fn values(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.items.iter().map(|(name, value)| (name.as_str(), value.as_ref().map(ExposeSecret::expose_secret)))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("component_type", &self.component_type).finish_non_exhaustive()
    }
}
