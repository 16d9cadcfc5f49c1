//! Who may change components over HTTP.

use secrecy::SecretString;

/// How the API that changes components is protected.
#[derive(Debug, Clone)]
pub struct ComponentsApiSettings {
    /// That of `BINDD_ADMIN_TOKEN`, else that of `DAPR_API_TOKEN`.
    pub token: SecretString,
    /// The variable that it is from.
    pub variable: &'static str,
}
