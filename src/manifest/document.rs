//! A `Component` document with its references resolved.

use super::method::Methods;
use super::{Place, RawDocument};
use crate::domain::ComponentName;
use secrecy::SecretString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A component document with every reference resolved. [`super::Reader`] reads its items.
#[derive(Debug, Clone)]
pub struct Document {
    /// `metadata.name`
    pub name: ComponentName,
    /// `spec.type`
    pub component_type: String,
    /// `spec.version`; empty when absent.
    pub version: String,
    /// `spec.ignoreErrors`: the daemon starts without this component if something is wrong with it.
    pub ignore_errors: bool,
    /// `spec.disabled`: the component is known and does not run.
    pub disabled: bool,
    /// `spec.initTimeout`; 5 s when absent.
    pub init_timeout: Duration,
    pub place: Place,
    /// As it was written.
    pub source: Arc<RawDocument>,
    pub(super) app_id: Option<String>,
    pub(super) dapr_compat: bool,
    pub(super) items: Vec<Item>,
    pub(super) is_complete: bool,
    /// Whether a value is empty because its variable or secret could not be read, as with `--dapr-compat`.
    pub(super) lacks_values: bool,
    pub(super) methods: Arc<Methods>,
}

impl Document {
    /// Whether faults are treated as daprd treats them; see [`super::ComponentFiles::with_dapr_compat`].
    #[must_use]
    pub const fn is_dapr_compat(&self) -> bool {
        self.dapr_compat
    }

    /// Dapr's name of it in logs and errors.
    #[must_use]
    pub fn log_name(&self) -> String {
        log_name(self.name.as_str(), &self.component_type, &self.version)
    }

    /// The methods that it may use.
    #[must_use]
    pub fn methods(&self) -> &Methods {
        &self.methods
    }

    /// Whether loading found no fault in it. An incomplete document must not be used; it is returned so that its kind can
    /// report more faults in the same run.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// One name and its value. The value may be a secret, so `Debug` shows only the name.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) name: String,
    /// `None` when the reference cannot be resolved; that fault is reported already.
    pub(super) value: Option<SecretString>,
    /// The value as it is compared with a later reading, where it is not the same: with `{uuid}` as it stands.
    pub(super) compared: Option<SecretString>,
    /// Whether the value is in the file, so that a message may show it.
    pub(super) is_literal: bool,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Dapr's name of a component in logs and errors: `name (type/version)`.
#[must_use]
pub fn log_name(name: &str, component_type: &str, version: &str) -> String {
    format!("{name} ({component_type}/{version})")
}
