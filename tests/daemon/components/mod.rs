//! Components that are managed over HTTP while the sidecar runs.

pub(crate) mod api;
mod persisting;
mod routes;
mod security;
mod under_load;
