//! `GET /v1.0-alpha1/openapi.json`: the description of the API in OpenAPI 3.1, which is written by hand. A test compares
//! it with the routes and with what they answer.

use super::error::ApiError;
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use http::header::CONTENT_TYPE;
use std::io::Read;

/// `openapi.json`, as the build script compressed it.
const COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.gz"));

pub(super) fn openapi() -> Response {
    let mut document = Vec::new();
    match GzDecoder::new(COMPRESSED).read_to_end(&mut document) {
        Ok(_) => ([(CONTENT_TYPE, "application/json")], document).into_response(),
        Err(error) => {
            tracing::error!(%error, "the description of the API could not be decompressed");
            ApiError::Internal.into_response()
        }
    }
}
