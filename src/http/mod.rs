//! The API: HTTP/1.1 and h2c on one port, as Dapr defines it.
//!
//! The composition root opens sockets with [`bind`], builds an [`ApiState`] and runs [`serve`] until its stop. A request
//! goes `connection` → `routes` (path, `endpoint`, `admission`, trace, token) → `invoke` or `health`, and through `error`
//! if it fails.
//!
//! Invariants:
//! - No handler sees a request of a web page that is not allowed, or one whose `Host` is not a name of this machine
//!   (`admission`).
//! - Failures become responses in `error` and nowhere else. Other modules know a `FailureKind`, which has a status.
//! - Bodies are counted while they are in memory (`domain::BodyMemory`). Beyond the limit a request is refused; it never waits.
//! - What a client has not read of a response in a minute is dropped with its connection (`response_body`).
//! - Every request that was read is answered, also during a stop, unless the drain limit aborts it.
//! - `data` reaches the component as the exact bytes that were sent, unless `--dapr-compat` has it encoded again: a large
//!   one as a slice of the buffer of the request, a small one as a copy, so that it does not keep the rest of that buffer
//!   alive.
//! - Everything runs in a supervised task of its connection, the streams of HTTP/2 included.

mod admission;
mod bind_error;
mod component_calls;
mod component_status;
mod components;
mod connection;
mod connection_state;
mod cors;
mod data_connectors;
mod document_text;
mod encoding;
mod endpoint;
mod entity_tags;
mod error;
mod extended;
mod go_json;
mod go_syntax;
mod health;
mod inputs;
mod invoke;
mod invoke_span;
mod json_body;
mod json_path;
mod json_response;
mod listen;
mod metrics;
mod observed;
mod openapi;
mod output_call;
mod profiles;
mod raw_body;
mod read_body;
mod response_body;
mod routes;
mod server;
mod shutdown;
mod socket;
mod state;
mod token_log;
mod trace;
mod unix_socket;
mod wait;

pub use admission::{Access, AllowedHosts, AllowedOrigins, ConnectInfo};
pub use bind_error::BindError;
pub use component_calls::{
    Caller, ChangeOptions, ComponentCall, ComponentRefusal, ComponentReply, ConnectorCall, DocumentFault, DocumentText,
    ManageComponents, ManageConnectors, RefusalKind, Success,
};
pub use connection::{ConnectionSettings, Protocol, Respond};
pub use entity_tags::{names_tag, names_tag_weakly};
pub use error::MalformedRequest;
pub use extended::VERSION;
pub use invoke_span::InvokeSpan;
pub use listen::{Listeners, bind, bind_unix};
pub use metrics::{MAX_SCRAPERS, serve_metrics};
pub use output_call::{DEADLINE_EXCEEDED, OutputCall};
pub use profiles::serve_profiles;
pub use read_body::{Refused, detached, read as read_body};
pub use routes::log_panic;
pub use server::{Drained, serve, serve_public, serve_with};
pub use socket::Socket;
pub use state::{ApiState, AppConnection, AppHealth, HttpSettings};
pub use trace::TraceContext;
pub use wait::wait_until_outbound_ready;

#[cfg(test)]
mod tests;
