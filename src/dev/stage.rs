//! Embedded AWS with everything on it that the component files name.

use crate::aws::{self, ConnectionSettings, StaticCredentials, StreamRef, dynamodb, kinesis};
use crate::components::{Checked, Spec};
use crate::domain::BindingError;
use crate::embedded::{Aws, EmbeddedError, EmbeddedSettings};

/// The region that the embedded services go by.
pub(super) const REGION: &str = "us-east-1";
/// Embedded services check that a request is signed, not by whom.
pub(super) const ACCESS_KEY: &str = "embedded";
/// Shards of a stream that is created here; two, so that sharding is seen.
const SHARDS: u16 = 2;
/// Key attribute of a table that is created here. A Dapr component does not name one.
const TABLE_KEY: &str = "id";

/// Running embedded services.
#[derive(Debug)]
pub struct Stage {
    aws: Aws,
}

/// The stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The services did not start.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A stream or table could not be created.
    #[error("{what} could not be created on the embedded services: {source}")]
    Create {
        /// Stream or table.
        what: String,
        /// The cause.
        source: BindingError,
    },
}

impl Stage {
    /// Starts the services.
    ///
    /// # Errors
    /// When a port is taken or kept data cannot be read.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self, StageError> {
        Ok(Self { aws: Aws::start(settings).await? })
    }

    /// The services.
    #[must_use]
    pub const fn aws(&self) -> &Aws {
        &self.aws
    }

    /// Points components without an endpoint of their own at the embedded services, and creates what they name.
    ///
    /// # Errors
    /// When a stream or table could not be created.
    pub async fn prepare(&self, components: &mut [Checked]) -> Result<(), StageError> {
        for checked in components {
            if self.redirect(checked) {
                create(checked).await?;
            }
        }
        Ok(())
    }

    /// Whether the component now leads to the embedded services.
    fn redirect(&self, checked: &mut Checked) -> bool {
        match &mut checked.spec {
            Spec::Kinesis(spec) => {
                let is_ours = lead_to(self.aws.kinesis_url(), &mut spec.connection);
                if is_ours {
                    spec.lease_endpoint.get_or_insert_with(|| self.aws.dynamodb_url());
                }
                is_ours
            }
            Spec::DynamoDb(spec) => lead_to(self.aws.dynamodb_url(), &mut spec.connection),
        }
    }

    /// Stops the services.
    pub async fn stop(self) {
        self.aws.stop().await;
    }
}

/// Whether the connection now leads to the embedded service.
fn lead_to(endpoint: String, connection: &mut ConnectionSettings) -> bool {
    if connection.endpoint.is_some() {
        return false;
    }
    connection.endpoint = Some(endpoint);
    connection.region.get_or_insert_with(|| REGION.to_owned());
    // No role or profile of the real account is needed here, and none is asked.
    connection.identity = aws::IdentitySettings::default();
    connection.credentials.get_or_insert_with(|| StaticCredentials {
        access_key: ACCESS_KEY.to_owned(),
        secret_key: ACCESS_KEY.to_owned().into(),
        session_token: None,
    });
    true
}

async fn create(checked: &Checked) -> Result<(), StageError> {
    match &checked.spec {
        Spec::Kinesis(spec) => stream(&spec.connection, &spec.stream).await,
        Spec::DynamoDb(spec) => table(&spec.connection, &spec.table).await,
    }
}

async fn stream(settings: &ConnectionSettings, stream: &StreamRef) -> Result<(), StageError> {
    let create = async { kinesis::ensure_stream(&aws::connect(settings).await?, stream, SHARDS).await };
    create.await.map_err(|source| StageError::Create { what: format!("stream {}", stream.name()), source })
}

async fn table(settings: &ConnectionSettings, table: &str) -> Result<(), StageError> {
    let create = async { dynamodb::ensure_table(&aws::connect(settings).await?, table, TABLE_KEY).await };
    create.await.map_err(|source| StageError::Create { what: format!("table {table}"), source })
}
