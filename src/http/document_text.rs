//! Reads the document of a request that manages components or data connectors.

use super::component_calls::DocumentText;
use super::error::ApiError;
use super::read_body::{self, Refused};
use super::state::ApiState;
use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;

/// The largest document; Dapr's own bound. Changed documents stay in memory.
const MAX_DOCUMENT: usize = 64 << 10;

/// The document, or the response to a body that cannot be read, which `refused` writes.
pub(super) async fn read(
    state: &ApiState,
    head: &Parts,
    body: Body,
    refused: impl FnOnce(ApiError<'_>) -> Response,
) -> Result<DocumentText, Response> {
    let limit = state.settings.max_body_size.map_or(MAX_DOCUMENT, |limit| limit.min(MAX_DOCUMENT));
    match read_body::read(body, head, Some(limit), &state.body_memory).await {
        // The reservation ends here: the document is copied into a tree, within its own limits.
        Ok((text, _memory)) => {
            let media = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let is_yaml = media.to_ascii_lowercase().contains("yaml");
            Ok(DocumentText { text: read_body::detached(text), is_yaml })
        }
        Err(Refused { error, is_read }) => {
            let format = state.settings.error_format();
            let mut response = refused(ApiError::Malformed { binding: None, error: &error, format });
            if !is_read {
                read_body::close_after(&mut response, head.version);
            }
            Err(response)
        }
    }
}
