//! The interface of a secret store.

use crate::domain::BindingError;
use crate::manifest::{SecretKey, SecretValues};
use async_trait::async_trait;
use std::fmt::Debug;

/// Reads secrets.
#[async_trait]
pub(super) trait SecretStore: Debug + Send + Sync {
    /// All keys of one secret, with one attempt.
    ///
    /// # Errors
    /// `NotFound` where there is no such secret. No error holds a value.
    async fn get(&self, key: &SecretKey) -> Result<SecretValues, BindingError>;
}
