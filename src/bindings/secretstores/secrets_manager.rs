//! `secretstores.aws.secretmanager`

use super::super::connection::read_connection;
use super::store::SecretStore;
use crate::aws::{self, ConnectionSettings, classify};
use crate::domain::{BindingError, FailureKind};
use crate::manifest::{Reader, SecretKey, SecretValues};
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;
use std::time::Duration;

/// The limit of one call.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(3);

/// The fields of a document.
#[derive(Debug, Clone)]
pub struct SecretsManagerSpec {
    /// Region, endpoint, keys and connection options.
    pub connection: ConnectionSettings,
    /// `multipleKeyValuesPerSecret`: whether a secret is a JSON object with several keys.
    pub has_many_keys: bool,
}

impl SecretsManagerSpec {
    /// Reads every field; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let connection = read_connection(reader, None);
        Self { connection, has_many_keys: reader.boolean("multipleKeyValuesPerSecret").unwrap_or(false) }
    }
}

#[derive(Debug)]
pub(super) struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
    has_many_keys: bool,
}

impl SecretsManager {
    pub(super) async fn connect(spec: SecretsManagerSpec) -> Result<Self, BindingError> {
        let client = aws::connect(&spec.connection).await?.secrets_manager_within(CALL_LIMIT);
        Ok(Self { client, has_many_keys: spec.has_many_keys })
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn get(&self, key: &SecretKey) -> Result<SecretValues, BindingError> {
        let call = self.client.get_secret_value().secret_id(&key.secret);
        let found = Box::pin(call.send()).await.map_err(|error| classify("SecretsManager: GetSecretValue", error))?;
        let Some(text) = found.secret_string else {
            let text = "the secret is binary, which no field can hold; store it as text";
            return Err(BindingError::new(FailureKind::Permanent, text));
        };
        Ok(values(&key.secret, found.name.as_deref(), text, self.has_many_keys))
    }
}

/// As in Dapr: the whole text under the name of the secret, or with `has_many_keys` each member of a JSON object. A secret
/// may be named by its ARN, so the name of the reference is a key too.
fn values(reference: &str, name: Option<&str>, text: String, has_many_keys: bool) -> SecretValues {
    if has_many_keys && let Ok(Value::Object(members)) = serde_json::from_str(&text) {
        let member = |(key, value): (String, Value)| match value {
            Value::String(text) => (key, SecretString::from(text)),
            other => (key, SecretString::from(other.to_string())),
        };
        return members.into_iter().map(member).collect();
    }
    let value = SecretString::from(text);
    [Some(reference), name].into_iter().flatten().map(|key| (key.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn shown(values: &SecretValues) -> Vec<String> {
        let mut shown: Vec<_> = values.iter().map(|(key, value)| format!("{key}={}", value.expose_secret())).collect();
        shown.sort();
        shown
    }

    #[test]
    fn a_secret_is_one_value_or_the_members_of_an_object() {
        let json = || r#"{"user": "u", "port": 5, "more": {"a": [1]}}"#.to_owned();
        assert_eq!(shown(&values("db", Some("db"), json(), true)), [r#"more={"a":[1]}"#, "port=5", "user=u"]);
        assert_eq!(shown(&values("arn:x", Some("db"), "s".to_owned(), false)), ["arn:x=s", "db=s"]);
        assert_eq!(shown(&values("db", None, "no JSON".to_owned(), true)), ["db=no JSON"]);
        assert_eq!(shown(&values("db", None, json(), false)).len(), 1);
    }
}
