//! What to load.

use super::Environment;
use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Copy)]
pub struct LoadRequest<'a> {
    /// Folders and files, in the order of the flags.
    pub paths: &'a [PathBuf],
    /// The app id, for `scopes` and `{appID}`. Without one, as in `bindd check`, scopes are ignored.
    pub app_id: Option<&'a str>,
    /// The environment's `NAMESPACE`; `None` loads the documents of every namespace.
    pub namespace: Option<&'a str>,
    /// For `envRef` and the store `secretstores.local.env`.
    pub environment: &'a dyn Environment,
}

impl fmt::Debug for LoadRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LoadRequest");
        shown.field("paths", &self.paths).field("app_id", &self.app_id).field("namespace", &self.namespace);
        shown.finish_non_exhaustive()
    }
}
