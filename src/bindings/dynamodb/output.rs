//! Finds the operation of a request.

use super::super::metadata_check::MetadataCheck;
use super::context::TableContext;
use super::operation::{Access, Operation};
use super::operations::{bulk, create, delete, exec, get, query, transact, transact_get, update};
use super::request::Request;
use super::response;
use super::shaped_item::{ShapedItem, shape};
use crate::domain::{BindingError, FailureKind, InvokeRequest, InvokeResponse, OperationName, OutputBinding};
use async_trait::async_trait;
use futures_util::future::BoxFuture;

/// The output side of a DynamoDB component.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) context: TableContext,
    /// The same without retries.
    pub(super) single_attempt: TableContext,
    /// The names of the allowed operations.
    pub(super) offered: Vec<OperationName>,
    /// Warns about misspelt request metadata.
    pub(super) metadata_check: MetadataCheck,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[OperationName] {
        &self.offered
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        self.perform(&self.context, request).await
    }

    async fn attempt(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        self.perform(&self.single_attempt, request).await
    }
}

impl Output {
    async fn perform(&self, cx: &TableContext, mut request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let operation = Operation::from_name(&request.operation)
            .filter(|operation| cx.options.allowed.contains(operation))
            .ok_or_else(|| {
                let text = "the operation is not among the component's `allowedOperations`";
                BindingError::new(FailureKind::Caller, text)
            })?;
        self.metadata_check.warn_about_unknown(&request.metadata);
        if let (Operation::Create, Some(shaper)) = (operation, &cx.shaper) {
            // Boxed, so that the future of a request without a transform stays small.
            let shaped = Box::pin(shape(shaper, &request.data, &request.metadata)).await;
            match shaped.inspect_err(|_| cx.count_refused(1))? {
                ShapedItem::Unchanged => {}
                ShapedItem::Item(data) => request.data = data,
                ShapedItem::LeftOut(why) => return Ok(response::left_out(why)),
            }
        }
        let request = Request::read(request, &cx.options).inspect_err(|_| match operation.access() {
            Some(Access::Write) => cx.count_refused(1),
            Some(Access::Read) | None => {}
        })?;
        // Boxed, or the compiler would check the futures of all operations as one type.
        let response: BoxFuture<'_, _> = match operation {
            Operation::Create => Box::pin(create::create(cx, request)),
            Operation::Get => Box::pin(get::get(cx, request)),
            Operation::Update => Box::pin(update::update(cx, request)),
            Operation::Delete => Box::pin(delete::delete(cx, request)),
            Operation::Query => Box::pin(query::query(cx, request)),
            Operation::List => Box::pin(query::list(cx, request)),
            Operation::BulkCreate => Box::pin(bulk::create(cx, request)),
            Operation::BulkGet => Box::pin(bulk::get(cx, request)),
            Operation::BulkDelete => Box::pin(bulk::delete(cx, request)),
            Operation::Transact => Box::pin(transact::transact(cx, request)),
            Operation::TransactGet => Box::pin(transact_get::transact_get(cx, request)),
            Operation::Exec => Box::pin(exec::exec(cx, request)),
        };
        response.await
    }
}

#[cfg(test)]
#[path = "tests/output.rs"]
mod tests;
