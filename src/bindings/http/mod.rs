//! `bindings.http`: calls one HTTP endpoint for the app.
//!
//! `spec` reads the component's file, `request` builds a request from that of the app, `redirect` follows redirects as Go's
//! client does, `target` reads URLs. `connector` opens connections, direct or through a proxy; `trust` is TLS. `client`
//! sends a request and reads its response within limits; `response` is what the app gets.
//!
//! Invariant: a request is sent once. It is sent over a second connection only if no byte of it was written to the first.

mod api;
mod binding;
mod client;
mod connector;
mod output;
mod redirect;
mod request;
mod response;
mod spec;
mod target;
mod trust;

pub(super) use api::{ApiClient, ApiRequest};
pub(super) use binding::connect;
pub(crate) use binding::probe;
pub use spec::Spec;
