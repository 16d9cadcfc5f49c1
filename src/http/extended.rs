//! The member `extended` of the metadata, and `PUT /v1.0/metadata/<key>`, which adds to it.

use super::endpoint;
use super::error::ApiError;
use super::invoke::unescape;
use super::read_body::{self, Refused, UnreadBody};
use super::state::ApiState;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use std::collections::BTreeMap;

/// bindd's version, where Dapr reports its own.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// More than all values together may take.
const MAX_VALUE: usize = 2 << 20;

impl ApiState {
    /// What clients added, and the version.
    #[must_use]
    pub fn extended_metadata(&self) -> BTreeMap<String, String> {
        let mut extended = self.extended.get_all();
        extended.insert("daprRuntimeVersion".to_owned(), VERSION.to_owned());
        extended
    }
}

/// The response to a request on the endpoint. The media type is ignored, and what is not UTF-8 is replaced, as in Dapr.
pub(super) async fn set(state: &ApiState, head: &Parts, body: Body) -> Response {
    let key = match unescape(endpoint::parameter(head.uri.path())) {
        Ok(key) => key,
        Err(escape) => {
            let error = ApiError::BadEscape { parameter: "key", escape };
            return UnreadBody::new(head, body).refuse(error).await;
        }
    };
    let limit = state.settings.max_body_size.unwrap_or(MAX_VALUE).min(MAX_VALUE);
    match read_body::read(body, head, Some(limit), &state.body_memory).await {
        Ok((value, _memory)) => match state.extended.set(&key, &String::from_utf8_lossy(&value)) {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(full) => ApiError::MetadataFull(full.to_string()).into_response(),
        },
        Err(Refused { error, is_read }) => {
            let format = state.settings.error_format();
            let mut response = ApiError::Malformed { binding: None, error: &error, format }.into_response();
            if !is_read {
                read_body::close_after(&mut response, head.version);
            }
            response
        }
    }
}
