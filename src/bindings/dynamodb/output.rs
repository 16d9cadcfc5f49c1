//! Items out and in: each operation has a module of its own, this one finds it.

use super::super::metadata_check::MetadataCheck;
use super::super::retry::RetryRunner;
use super::calls::Items;
use super::keys::Keys;
use super::operation::{Effect, Operation};
use super::options::Options;
use super::request::Request;
use super::{bulk, create, delete, exec, get, query, transact, update};
use crate::domain::{BindingError, FailureKind, InvokeRequest, InvokeResponse, OutputBinding};
use crate::telemetry::RecordState;
use async_trait::async_trait;
use futures_util::future::BoxFuture;

/// The output side of a DynamoDB component.
#[derive(Debug)]
pub(super) struct Output {
    /// Makes single attempts.
    pub(super) items: Items,
    /// Repeats them.
    pub(super) attempts: RetryRunner,
    /// The table's key, as far as it is known.
    pub(super) keys: Keys,
    /// What the file says.
    pub(super) options: Options,
    /// The names of `options.allowed`.
    pub(super) offered: Vec<&'static str>,
    /// Tells of misspelt request metadata.
    pub(super) names: MetadataCheck,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[&'static str] {
        &self.offered
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let operation = self.allowed(&request.operation)?;
        self.names.warn_about_unknown(&request.metadata);
        let request = Request::read(request, &self.options).inspect_err(|_| match operation.effect() {
            Some(Effect::Writes) => self.refused(1),
            Some(Effect::Reads) | None => {}
        })?;
        // Erased: the compiler would else check all operations' futures as one type.
        let answering: BoxFuture<'_, _> = match operation {
            Operation::Create => Box::pin(create::run(self, request)),
            Operation::Get => Box::pin(get::run(self, request)),
            Operation::Update => Box::pin(update::run(self, request)),
            Operation::Delete => Box::pin(delete::run(self, request)),
            Operation::Query => Box::pin(query::query(self, request)),
            Operation::List => Box::pin(query::list(self, request)),
            Operation::BulkCreate => Box::pin(bulk::create(self, request)),
            Operation::BulkGet => Box::pin(bulk::get(self, request)),
            Operation::BulkDelete => Box::pin(bulk::delete(self, request)),
            Operation::Transact => Box::pin(transact::write(self, request)),
            Operation::TransactGet => Box::pin(transact::get(self, request)),
            Operation::Exec => Box::pin(exec::run(self, request)),
        };
        answering.await
    }
}

impl Output {
    /// Counts writes that ended before anything was sent.
    pub(super) fn refused(&self, writes: usize) {
        (0..writes).for_each(|_| self.attempts.metrics.ended(RecordState::Refused, 0));
    }

    fn allowed(&self, word: &str) -> Result<Operation, BindingError> {
        let allowed = Operation::of_word(word).filter(|operation| self.options.allowed.contains(operation));
        allowed.ok_or_else(|| {
            BindingError::new(FailureKind::Caller, "the operation is not among the component's `allowedOperations`")
        })
    }
}
