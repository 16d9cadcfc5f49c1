//! A page in JSON.

use super::error::ApiError;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;

pub(super) fn json_response(page: &impl Serialize) -> Response {
    match serde_json::to_vec(page) {
        Ok(page) => ([(CONTENT_TYPE, "application/json")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "page could not be written");
            ApiError::Internal.into_response()
        }
    }
}
