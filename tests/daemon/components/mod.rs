//! Components that are managed over HTTP while the sidecar runs.

mod api;
mod routes;
mod security;
