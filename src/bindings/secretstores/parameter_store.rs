//! `secretstores.aws.parameterstore`

use super::super::connection::read_connection;
use super::secrets_manager::CALL_LIMIT;
use super::store::SecretStore;
use crate::aws::{self, ConnectionSettings, classify};
use crate::domain::{BindingError, FailureKind};
use crate::manifest::{Reader, SecretKey, SecretValues};
use async_trait::async_trait;
use secrecy::SecretString;

/// The fields of a document.
#[derive(Debug, Clone)]
pub struct ParameterStoreSpec {
    /// Region, endpoint, keys and connection options.
    pub connection: ConnectionSettings,
    /// `prefix`: begins the name of each parameter, and is not part of the secret's name.
    pub prefix: String,
}

impl ParameterStoreSpec {
    /// Reads every field; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let connection = read_connection(reader, None);
        Self { connection, prefix: reader.text("prefix").unwrap_or_default() }
    }
}

#[derive(Debug)]
pub(super) struct ParameterStore {
    client: aws_sdk_ssm::Client,
    prefix: String,
}

impl ParameterStore {
    pub(super) async fn connect(spec: ParameterStoreSpec) -> Result<Self, BindingError> {
        let client = aws::connect(&spec.connection).await?.ssm_within(CALL_LIMIT);
        Ok(Self { client, prefix: spec.prefix })
    }
}

#[async_trait]
impl SecretStore for ParameterStore {
    async fn get(&self, key: &SecretKey) -> Result<SecretValues, BindingError> {
        let call = self.client.get_parameter().name(format!("{}{}", self.prefix, key.secret)).with_decryption(true);
        let found = Box::pin(call.send()).await.map_err(|error| classify("SSM: GetParameter", error))?;
        let value = found.parameter.and_then(|parameter| parameter.value).ok_or_else(|| {
            BindingError::new(FailureKind::Permanent, "SSM: GetParameter returned no value; look at the parameter")
        })?;
        Ok(SecretValues::from([(key.secret.clone(), SecretString::from(value))]))
    }
}
