//! The settings of the commands that read component files.

use std::path::PathBuf;

/// Settings of `bindd check`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckSettings {
    /// Files and folders to check; never empty.
    pub paths: Vec<PathBuf>,
    /// Check only components that this app may use; `None` ignores scopes.
    pub app_id: Option<String>,
    /// Check only components that a sidecar in this namespace loads.
    pub namespace: Option<String>,
    /// Files with a `Configuration` (`--config`); later ones win.
    pub config_paths: Vec<PathBuf>,
    /// Treat faults as daprd does (`--dapr-compat`).
    pub dapr_compat: bool,
    /// Print the result as JSON.
    pub json: bool,
}

/// Settings of `bindd check --connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSettings {
    pub files: CheckSettings,
    /// Folder with the sockets of pluggable components (environment variable `DAPR_COMPONENTS_SOCKETS_FOLDER`).
    pub component_sockets: PathBuf,
    /// A PEM file with additional certificate authorities for calls to AWS (environment variable `AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
}

/// Settings of `bindd policy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySettings {
    pub files: CheckSettings,
    /// Region of components whose file has none (`--region`, else the environment variable `AWS_REGION`).
    pub region: Option<String>,
}

/// Settings of `bindd try`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrySettings {
    /// Where the component is.
    pub files: CheckSettings,
    /// `None` is the only component of the files that shapes records.
    pub component: Option<String>,
    /// The lines are records that the input reads, although the component has an output.
    pub as_input: bool,
    /// Each line is an object with `data` and other fields, instead of the data.
    pub has_objects: bool,
    /// Metadata of each request.
    pub metadata: Vec<(String, String)>,
}
