//! Components that are managed over HTTP while the sidecar runs.

pub(crate) mod api;
mod callers;
mod disabling;
mod edited_files;
mod endings;
mod others;
mod persisting;
mod reading;
mod routes;
mod security;
mod under_load;
