//! The types that pluggable components serve.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A program at a socket, and the sides that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plug {
    /// In lower case, such as `bindings.mail`.
    pub type_name: String,
    pub socket: PathBuf,
    pub has_input: bool,
    pub has_output: bool,
}

/// Pluggable components by their types.
#[derive(Debug, Clone, Default)]
pub struct Plugs(BTreeMap<String, Arc<Plug>>);

impl Plugs {
    /// `type_name` is in lower case.
    #[must_use]
    pub fn get(&self, type_name: &str) -> Option<&Arc<Plug>> {
        self.0.get(type_name)
    }

    /// In lower case.
    #[must_use]
    pub fn types(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn extend(&mut self, plug: Option<Plug>) {
        self.0.extend(plug.map(|plug| (plug.type_name.clone(), Arc::new(plug))));
    }
}

impl FromIterator<Arc<Plug>> for Plugs {
    fn from_iter<I: IntoIterator<Item = Arc<Plug>>>(plugs: I) -> Self {
        Self(plugs.into_iter().map(|plug| (plug.type_name.clone(), plug)).collect())
    }
}
