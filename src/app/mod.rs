//! The channel to the app: one HTTP address that accepts events and says of which inputs.
//!
//! Used by the composition root: it waits until the app is up, probes the routes and gets a handler for each input.
//! Invariants:
//!
//! - An event is accepted when the app answered 2xx. The head of the response decides, whatever happens to its body, unless
//!   the body may name events that failed: then it must arrive completely and in time, and in doubt all events failed.
//!   Everything else is a [`DeliveryError`](crate::domain::DeliveryError), and the caller decides whether to retry.
//! - A request is sent once. It is sent over a second connection only if no byte of it was written to the first or, over
//!   HTTP/2, the app said that it has not processed it.
//! - By default the payload is sent unchanged with `content-type: application/json`, as Dapr does, and is never copied. The
//!   input's [`EventFormat`](crate::domain::EventFormat) may choose another form.
//! - Redirects are not followed. The body of a response is read up to a limit, so that its connection can be reused; the
//!   first bytes of a refusal are logged.
//! - Over HTTP/1.1 no task is started: the request that uses a connection also drives it. A dropped request closes its
//!   connection, and nothing is left to join. An HTTP/2 connection is shared, so a task drives it; a dropped request resets
//!   its stream, and `close` joins the tasks.

mod answer;
mod base64;
mod body;
mod channel;
mod cloud_event;
mod connection;
mod counted;
mod decompress;
mod delivery_span;
mod endpoint;
mod event;
mod exchange;
mod grpc;
mod headers;
mod health;
mod health_checks;
mod http2;
mod http2_pool;
mod identifier;
mod lambda;
mod media_type;
mod message;
mod ndjson;
mod pool;
mod probe;
mod reply;
mod route;
mod settings;
mod socket;
mod tls;
mod trace_context;
mod transport;
mod wait;

#[cfg(test)]
mod tests;

pub use channel::AppChannel;
pub use counted::counted;
pub use grpc::{GrpcChannel, Subscribed};
pub use health_checks::{HealthCheckSettings, HealthProbe, check_health};
pub use probe::Answer;
pub use route::Route;
pub use settings::{AppSettings, HttpProtocol, InvalidAppSettings};
pub use wait::AppPort;
