//! Items out and in: each operation has a module of its own, this one finds it.

use super::super::attempts::Attempts;
use super::keys::Keys;
use super::operation::Operation;
use super::options::Options;
use super::request::Request;
use super::{bulk, create, delete, exec, get, transact, update};
use crate::aws::dynamodb::Items;
use crate::domain::{BindingError, FailureKind, InvokeRequest, InvokeResponse, OutputBinding};
use async_trait::async_trait;

/// The output side of a DynamoDB component.
#[derive(Debug)]
pub(super) struct Output {
    /// Makes single attempts.
    pub(super) items: Items,
    /// Repeats them.
    pub(super) attempts: Attempts,
    /// The table's key, as far as it is known.
    pub(super) keys: Keys,
    /// What the file says.
    pub(super) options: Options,
    /// The names of `options.allowed`.
    pub(super) offered: Vec<&'static str>,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[&'static str] {
        &self.offered
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let operation = self.allowed(&request.operation)?;
        let request = Request::read(request, &self.options)?;
        match operation {
            Operation::Create => create::run(self, request).await,
            Operation::Get => get::run(self, request).await,
            Operation::Update => update::run(self, request).await,
            Operation::Delete => delete::run(self, request).await,
            Operation::BulkCreate => bulk::create(self, request).await,
            Operation::BulkGet => bulk::get(self, request).await,
            Operation::BulkDelete => bulk::delete(self, request).await,
            Operation::Transact => transact::write(self, request).await,
            Operation::TransactGet => transact::get(self, request).await,
            Operation::Exec => exec::run(self, request).await,
            Operation::Query | Operation::List => Err(BindingError::new(FailureKind::Permanent, "later")),
        }
    }
}

impl Output {
    fn allowed(&self, word: &str) -> Result<Operation, BindingError> {
        let allowed = Operation::of_word(word).filter(|operation| self.options.allowed.contains(operation));
        allowed.ok_or_else(|| {
            BindingError::new(FailureKind::Caller, "the operation is not among the component's `allowedOperations`")
        })
    }
}
