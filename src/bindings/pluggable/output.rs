//! Requests to a pluggable component.

use super::failure;
use super::session::{Link, Session};
use crate::domain::{BindingError, InvokeRequest, InvokeResponse, OutputBinding};
use crate::protocol::components;
use async_trait::async_trait;
use std::borrow::Cow;
use tonic::Status;

#[derive(Debug)]
pub(super) struct Output {
    pub(super) link: Link,
    /// As it listed them when it was connected.
    pub(super) operations: Vec<&'static str>,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[&'static str] {
        &self.operations
    }

    /// It has no time limit of its own. If the caller drops the future, the call is cancelled.
    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let session = self.link.session().await?;
        let mut result = self.call(&session, &request).await;
        if result.as_ref().is_err_and(failure::is_unsent) {
            // The component was restarted since the last request.
            let session = self.link.session().await?;
            result = self.call(&session, &request).await;
        }
        let response = result.map_err(|status| failure::error("Invoke", &status))?;
        let metadata = response.metadata.into_iter().map(|(key, value)| (Cow::Owned(key), value)).collect();
        // As in daprd, the content type is not passed on.
        Ok(InvokeResponse { data: Some(response.data), metadata, ..InvokeResponse::default() })
    }
}

impl Output {
    async fn call(&self, session: &Session, request: &InvokeRequest) -> Result<components::InvokeResponse, Status> {
        let metadata = &request.metadata;
        let pair = |name: &str| (name.to_owned(), metadata.get(name).unwrap_or_default().to_owned());
        let message = components::InvokeRequest {
            data: request.data.clone(),
            metadata: metadata.names().map(pair).collect(),
            operation: request.operation.clone(),
        };
        let result = session.output().invoke(self.link.request(message)).await;
        if result.as_ref().is_err_and(failure::has_connection_failed) {
            self.link.discard(session).await;
        }
        result.map(tonic::Response::into_inner)
    }
}
