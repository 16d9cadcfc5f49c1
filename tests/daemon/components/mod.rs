//! Components that are managed over HTTP while the sidecar runs.

mod api;
mod persisting;
mod routes;
mod security;
mod under_load;
