//! What all operations use: the SDK client and its limits, the table and its key, retries and metrics.

use super::super::retry::{Call, RetryRunner};
use super::super::shaping::Shaper;
use super::failure::{CallFailure, ErrorDetails};
use super::options::Options;
use super::table_key::KeyCache;
use crate::aws::{Connection, KeySchema, key_schema};
use crate::domain::BindingError;
use crate::telemetry::RecordState;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use futures_util::future::BoxFuture;
use std::error::Error;
use std::sync::Arc;
use tokio::time::Instant;

/// One table, as a component uses it.
#[derive(Debug)]
pub(super) struct TableContext {
    pub(super) connection: Connection,
    pub(super) client: Client,
    /// Name or ARN.
    pub(super) table: String,
    pub(super) options: Options,
    pub(super) runner: RetryRunner,
    pub(super) keys: Arc<KeyCache>,
    /// `None` if items are neither filtered nor transformed.
    pub(super) shaper: Option<Arc<Shaper>>,
}

impl TableContext {
    /// The same table without retries of its own, for callers that repeat their requests.
    pub(super) fn single_attempt(&self) -> Self {
        let mut runner = self.runner.clone();
        runner.policy.max_retries = Some(0);
        Self {
            connection: self.connection.clone(),
            client: self.client.clone(),
            table: self.table.clone(),
            options: self.options.clone(),
            runner,
            keys: Arc::clone(&self.keys),
            shaper: self.shaper.clone(),
        }
    }
}

impl TableContext {
    /// Makes one attempt, once the connection has a free slot (`maxConnections`). `sent` must not have been polled.
    ///
    /// Boxed, because the SDK's futures are large and would be copied into every future that holds them.
    ///
    /// # Errors
    /// As DynamoDB returned; `Outcome::Unknown` where the reply is missing; `Throttled` where no slot was free before
    /// `deadline`.
    pub(super) fn call<'a, T, E>(
        &'a self,
        operation: &'static str,
        deadline: Instant,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, CallFailure>>
    where
        T: Send,
        E: ErrorDetails + Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        Box::pin(async move {
            let _permit = self.connection.permit_before(deadline).await?;
            sent.await.map_err(|error| CallFailure::new(operation, &self.table, error))
        })
    }

    /// Repeats a read until it succeeds, fails for good, or the time is over.
    ///
    /// # Errors
    /// The last failure.
    pub(super) async fn read<T, F>(&self, call: Call, mut attempt: impl FnMut() -> F) -> Result<T, BindingError>
    where
        F: Future<Output = Result<T, CallFailure>> + Send,
    {
        let attempt = || {
            let sent = attempt();
            async move { sent.await.map_err(BindingError::from) }
        };
        self.runner.run(call, attempt).await.map(|spent| spent.value)
    }

    /// The table's key: from the file, else as `DescribeTable` returned it. `None` where neither gives it.
    pub(super) async fn find_key(&self, deadline: Instant) -> Option<&KeySchema> {
        let describe = || async {
            self.describe_key(deadline)
                .await
                .inspect_err(|error| tracing::debug!(table = self.table, %error, "key of the table could not be read"))
        };
        self.keys.find(describe, deadline).await
    }

    /// `None` where `dynamodb:DescribeTable` is denied.
    pub(super) async fn describe_key(&self, deadline: Instant) -> Result<Option<KeySchema>, BindingError> {
        let _permit = self.connection.permit_before(deadline).await?;
        key_schema(&self.client, &self.table).await.map_err(|mut failed| {
            failed.text.push_str(&format!(" (table `{}`)", self.table));
            failed.into()
        })
    }

    /// `returnConsumedCapacity`, as calls take it.
    pub(super) fn consumed_capacity(&self) -> Option<ReturnConsumedCapacity> {
        self.options.return_consumed_capacity.then_some(ReturnConsumedCapacity::Total)
    }

    /// Counts writes that were refused before anything was sent.
    pub(super) fn count_refused(&self, writes: usize) {
        (0..writes).for_each(|_| self.runner.metrics.ended(RecordState::Refused, 0));
    }
}
