//! The kind `Configuration`, from the files of `--config`.
//!
//! [`load_configuration`] expands `$VAR` and `${VAR}`, merges the files in their order over the defaults (a list of a later
//! file replaces that of an earlier one), and checks what concerns bindings. As in daprd, a file that is missing or wrong
//! stops the start: it may forbid something.

mod component_rules;
mod expand;
mod fields;
mod load;
mod model;
mod read;
mod secret_scopes;

pub use component_rules::{ComponentRule, ComponentRules};
pub use load::{ConfigurationError, load_configuration};
pub use model::{
    ApiLogging, Configuration, Feature, HOT_RELOAD, MetricsConfiguration, OtelConfiguration, OtelProtocol,
    TracingConfiguration,
};
pub use secret_scopes::SecretScope;
