//! The channel to the application: one HTTP/1.1 address that takes events and says which bindings it wants.
//!
//! Called by the composition root (wait until the app is up, probe, one handler for each input). What it promises:
//!
//! - an event is accepted when the app answered 2xx and the answer came in whole; everything else is a
//!   [`DeliveryError`](crate::domain::DeliveryError), and the caller decides about another try;
//! - the payload is sent as it is, `content-type: application/json`, as Dapr does, and is never copied;
//! - redirects are not followed, answers are read up to a bound and thrown away;
//! - no task is started: a connection is driven by the request that uses it, so a dropped request closes its
//!   connection and nothing is left to join.

mod channel;
mod connection;
mod event;
mod pool;
mod probe;
mod route;
mod settings;

#[cfg(test)]
mod tests;

pub use channel::AppChannel;
pub use probe::Answer;
pub use route::Route;
pub use settings::{AppSettings, InvalidAppSettings};
