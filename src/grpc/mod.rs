//! Dapr's sidecar API over gRPC: HTTP/2 without TLS, on its own port.
//!
//! The composition root opens sockets with [`bind`](crate::http::bind), and runs [`serve`] with the state that it shares
//! with the HTTP API. A request goes `service` (host, token, deadline, method) → `unary` (one message in, one out) →
//! `invoke`, `metadata` or `health`; failures become statuses in `status`.
//!
//! Invariants:
//! - Connections are those of [`crate::http`]: the same limits, the same drain, and every stream runs in the task of its
//!   connection. Bodies are counted in the same memory.
//! - Each request ends with a gRPC status, also one whose handler panicked, whose deadline is over, or whose method does
//!   not exist.
//! - A failed call has the same text over gRPC as over HTTP.

mod call_metadata;
mod deadline;
mod gzip;
mod health;
mod internal;
mod invoke;
mod metadata;
mod methods;
mod observation;
mod reflection;
mod server;
mod service;
mod status;
mod trace;
mod unary;

pub use server::{GrpcSettings, serve, serve_internal};
