//! Embedded Kinesis and DynamoDB with the streams and tables of the component files.

use crate::aws::{self, ConnectionSettings, KeySchema, StaticCredentials, StreamRef, ensure_table, kinesis};
use crate::bindings::{self, Checked, Spec};
use crate::daemon::Prepare;
use crate::domain::{BindingError, ComponentName};
use crate::embedded::{Aws, EmbeddedError, EmbeddedSettings};
use async_trait::async_trait;

/// The region of the embedded services.
pub(super) const REGION: &str = "us-east-1";
/// Embedded services accept any credentials, but a request must be signed.
pub(super) const ACCESS_KEY: &str = "embedded";
/// Shards of a new stream; two, so that an app meets more than one.
const SHARDS: u16 = 2;
/// Partition key of a table whose component names none.
const TABLE_KEY: &str = "id";

#[derive(Debug)]
pub struct Emulators {
    aws: Aws,
}

/// The endpoints of the embedded services. It prepares components for them.
#[derive(Debug, Clone)]
pub struct EmbeddedEndpoints {
    kinesis: String,
    dynamodb: String,
}

#[async_trait]
impl Prepare for EmbeddedEndpoints {
    fn redirect(&self, component: &mut Checked) {
        Self::redirect(self, component);
    }

    async fn prepare(&self, components: &mut [Checked]) -> Result<(), String> {
        Self::prepare(self, components).await.map_err(|error| error.to_string())
    }
}

/// The embedded services could not start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorsError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A stream or table could not be created.
    #[error("{what} could not be created on the embedded services: {source}")]
    Create { what: String, source: BindingError },
    /// The table exists with another key, which cannot be changed.
    #[error(
        "table {table} has the key {actual}, but component {component} names {expected}: correct `partitionKeyName` and \
         `sortKeyName`, or let `--keep` name another folder"
    )]
    OtherKey { component: ComponentName, table: String, actual: String, expected: String },
}

impl Emulators {
    /// # Errors
    /// When a port is taken or kept data cannot be read.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self, EmulatorsError> {
        Ok(Self { aws: Aws::start(settings).await? })
    }

    #[must_use]
    pub const fn aws(&self) -> &Aws {
        &self.aws
    }

    /// # Errors
    /// As at the start.
    pub async fn prepare(&self, components: &mut [Checked]) -> Result<(), EmulatorsError> {
        self.endpoints().prepare(components).await
    }

    #[must_use]
    pub fn endpoints(&self) -> EmbeddedEndpoints {
        EmbeddedEndpoints { kinesis: self.aws.kinesis_url(), dynamodb: self.aws.dynamodb_url() }
    }

    pub async fn stop(self) {
        self.aws.stop().await;
    }
}

impl EmbeddedEndpoints {
    /// Gives components without an endpoint that of the embedded services, and creates the streams and tables of those that
    /// run. A table gets the key of its component file as strings, or `id`.
    ///
    /// # Errors
    /// When a stream or table could not be created, or a table has another key than its component names.
    pub async fn prepare(&self, components: &mut [Checked]) -> Result<(), EmulatorsError> {
        let mut embedded: Vec<&Checked> = Vec::new();
        for checked in components {
            if self.redirect(checked) && !checked.disabled {
                embedded.push(checked);
            }
        }
        // Among components with the same table, one that names the key goes first.
        embedded.sort_by_key(|checked| key_of(checked).is_none());
        for checked in embedded {
            create(checked).await?;
        }
        Ok(())
    }

    /// Whether the component now uses the embedded services.
    fn redirect(&self, checked: &mut Checked) -> bool {
        match &mut checked.spec {
            Spec::Kinesis(spec) => {
                let is_embedded = use_embedded(self.kinesis.clone(), &mut spec.connection);
                if is_embedded {
                    spec.input.lease_endpoint.get_or_insert_with(|| self.dynamodb.clone());
                }
                is_embedded
            }
            Spec::DynamoDb(spec) => use_embedded(self.dynamodb.clone(), &mut spec.connection),
            Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => false,
        }
    }
}

/// Whether the connection now uses the embedded service.
fn use_embedded(endpoint: String, connection: &mut ConnectionSettings) -> bool {
    if connection.endpoint.is_some() {
        return false;
    }
    connection.endpoint = Some(endpoint);
    connection.region.get_or_insert_with(|| REGION.to_owned());
    // No role or profile of a real account is used.
    connection.identity = aws::IdentitySettings::default();
    connection.credentials.get_or_insert_with(|| StaticCredentials {
        access_key: ACCESS_KEY.to_owned(),
        secret_key: ACCESS_KEY.to_owned().into(),
        session_token: None,
    });
    true
}

async fn create(checked: &Checked) -> Result<(), EmulatorsError> {
    match &checked.spec {
        Spec::Kinesis(spec) => stream(&spec.connection, &spec.stream).await,
        Spec::DynamoDb(spec) => table(&checked.name, spec).await,
        Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => Ok(()),
    }
}

fn key_of(checked: &Checked) -> Option<&KeySchema> {
    match &checked.spec {
        Spec::Kinesis(_) | Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => None,
        Spec::DynamoDb(spec) => spec.options.key.as_ref(),
    }
}

async fn stream(settings: &ConnectionSettings, stream: &StreamRef) -> Result<(), EmulatorsError> {
    let create = async { kinesis::ensure_stream(&aws::connect(settings).await?, stream, SHARDS).await };
    create.await.map_err(|source| EmulatorsError::Create { what: format!("stream {}", stream.name()), source })
}

async fn table(component: &ComponentName, spec: &bindings::dynamodb::Spec) -> Result<(), EmulatorsError> {
    let named = spec.options.key.as_ref();
    let key = named.cloned().unwrap_or_else(|| KeySchema::text(TABLE_KEY));
    let create = async { ensure_table(&aws::connect(&spec.connection).await?, &spec.table, &key).await };
    let what = || format!("table {}", spec.table);
    let actual = create.await.map_err(|source| EmulatorsError::Create { what: what(), source })?;
    match (actual, named) {
        (Some(actual), Some(expected)) if !actual.is_named_as(expected) => Err(EmulatorsError::OtherKey {
            component: component.clone(),
            table: spec.table.clone(),
            actual: actual.to_string(),
            expected: expected.to_string(),
        }),
        (Some(_) | None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{LoadRequest, ProcessEnvironment, load};

    fn components(files: &[(&str, &str)]) -> Vec<Checked> {
        let folder = tempfile::tempdir().unwrap();
        for (name, items) in files {
            let text = format!(
                "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
                 type: bindings.aws.dynamodb\n  metadata: [{items}]\n"
            );
            std::fs::write(folder.path().join(name).with_extension("yaml"), text).unwrap();
        }
        let paths = [folder.path().to_owned()];
        let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &ProcessEnvironment };
        let result = bindings::check(load(&request));
        assert!(result.faults.is_empty(), "{}", result.faults);
        result.components
    }

    async fn key_of_table(checked: &Checked, table: &str) -> String {
        let connection = aws::connect(checked.connection().unwrap()).await.unwrap();
        let has = ensure_table(&connection, table, &KeySchema::text("unused")).await.unwrap();
        has.unwrap().to_string()
    }

    #[tokio::test]
    async fn tables_get_the_keys_that_their_components_name() {
        let emulators = Emulators::start(EmbeddedSettings::default()).await.unwrap();
        let key = "{name: partitionKeyName, value: customer}, {name: sortKeyName, value: number}";
        let mut all = components(&[
            ("a-plain", "{name: table, value: plain}"),
            ("b-without-key", "{name: table, value: orders}"),
            ("c-with-key", &format!("{{name: table, value: orders}}, {key}")),
        ]);
        emulators.prepare(&mut all).await.unwrap();
        assert_eq!(key_of_table(&all[0], "plain").await, "id (S)");
        assert_eq!(key_of_table(&all[0], "orders").await, "customer (S), number (S)");
        // As with `--keep`: the table is there already.
        let mut other = components(&[("other", &format!("{{name: table, value: plain}}, {key}"))]);
        let error = emulators.prepare(&mut other).await.unwrap_err().to_string();
        assert!(
            error.contains("table plain has the key id (S), but component other names customer, number"),
            "{error}"
        );
        emulators.stop().await;
    }
}
