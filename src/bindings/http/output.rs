//! Requests to the endpoint.

use super::client::Client;
use super::request::{OPERATIONS, outgoing};
use super::response;
use super::spec::Spec;
use crate::domain::{BindingError, FailureKind, InvokeRequest, InvokeResponse, OperationName, Outcome, OutputBinding};
use async_trait::async_trait;

#[derive(Debug)]
pub(super) struct Output {
    pub(super) spec: Spec,
    pub(super) client: Client,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[OperationName] {
        &OPERATIONS
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let is_error = match request.metadata.get("errorIfNot2XX") {
            Some(_) => request.metadata.is_true("errorIfNot2XX"),
            None => self.spec.error_if_not_2xx,
        };
        let sending = Box::pin(self.client.send(outgoing(&request, &self.spec)?));
        let answered = match self.spec.response_timeout {
            None => sending.await?,
            Some(limit) => tokio::time::timeout(limit, sending).await.map_err(|_| {
                let text = format!("no complete response within {limit:?} (`responseTimeout`)");
                BindingError::new(FailureKind::TimedOut, text).with_outcome(Outcome::Unknown)
            })??,
        };
        if is_error && !answered.status().is_success() {
            return Err(response::refused(answered.status(), answered.headers()));
        }
        Ok(response::succeeded(answered))
    }
}
