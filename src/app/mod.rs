//! The channel to the application: one HTTP/1.1 address that takes events and says which bindings it wants.
//!
//! Called by the composition root (wait until the app is up, probe, one handler for each input). What it promises:
//!
//! - an event is accepted when the app answered 2xx; the head of the answer decides, whatever happens to its body.
//!   Everything else is a [`DeliveryError`](crate::domain::DeliveryError), and the caller decides about another try;
//! - a request is sent once. It goes over a second connection only if not one byte of it was written to the first;
//! - the payload is sent as it is, `content-type: application/json`, as Dapr does, and is never copied;
//! - redirects are not followed, bodies of answers are read up to a bound to keep the connection; the first bytes of a
//!   refusal are shown in the log;
//! - no task is started: a connection is driven by the request that uses it, so a dropped request closes its
//!   connection and nothing is left to join.

mod answer;
mod channel;
mod connection;
mod event;
mod pool;
mod probe;
mod route;
mod settings;
mod socket;

#[cfg(test)]
mod tests;

pub use channel::AppChannel;
pub use probe::Answer;
pub use route::Route;
pub use settings::{AppSettings, InvalidAppSettings};
