//! Requests to a pluggable component.

use super::failure;
use super::session::{Link, Session};
use crate::domain::{BindingError, InvokeRequest, InvokeResponse, OperationName, OutputBinding};
use crate::protocol::components;
use async_trait::async_trait;
use std::borrow::Cow;
use tonic::Status;

/// Names are labels of metrics, so there are not more of them.
const MAX_OPERATIONS: usize = 100;
/// Bytes of one name.
const MAX_NAME: usize = 100;

#[derive(Debug)]
pub(super) struct Output {
    pub(super) link: Link,
    /// As it listed them when it was connected.
    pub(super) operations: Vec<OperationName>,
}

/// # Errors
/// When there are too many operations, or a name is too long; with the reason.
pub(super) fn operations(listed: &[String]) -> Result<Vec<OperationName>, String> {
    if listed.len() > MAX_OPERATIONS {
        return Err(format!("it lists {} operations, more than {MAX_OPERATIONS}", listed.len()));
    }
    if listed.iter().any(|name| name.len() > MAX_NAME) {
        return Err(format!("it lists an operation whose name is longer than {MAX_NAME} bytes"));
    }
    Ok(listed.iter().cloned().map(Cow::Owned).collect())
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[OperationName] {
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

    async fn close(&self) {
        self.link.close().await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_or_too_long_names_of_operations_are_refused() {
        assert_eq!(operations(&["send".to_owned(), "drop".to_owned()]).unwrap(), ["send", "drop"]);
        assert!(operations(&vec!["x".to_owned(); MAX_OPERATIONS + 1]).unwrap_err().contains("101 operations"));
        assert!(operations(&["x".repeat(MAX_NAME + 1)]).unwrap_err().contains("longer than 100"));
    }
}
