//! Components that are managed over HTTP while the sidecar runs.

pub(crate) mod api;
mod routes;
mod security;
