//! `GET /v1.0-alpha1/openapi.json`: the description of the API in OpenAPI 3.1, which is written by hand. A test compares
//! it with the routes and with what they answer.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
