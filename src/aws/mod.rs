//! Adapters to AWS: the only room that may name an AWS SDK type.
//!
//! A [`Connection`] holds what the clients of one component share: region, credentials, timeouts, the HTTP client. The
//! SDK's own retries are off; whoever calls decides by the failure's kind. SDK errors are translated in one place,
//! `failure`, and nowhere else.

mod client;
pub mod dynamodb;
mod failure;
pub mod kinesis;
mod settings;
mod stream;

pub use client::{Connection, connect};
pub use settings::{ConnectionSettings, StaticCredentials};
pub use stream::{InvalidStreamRef, StreamRef};
