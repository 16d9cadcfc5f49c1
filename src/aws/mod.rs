//! Adapters to AWS: the only room that may name an AWS SDK type.

mod client;
pub mod dynamodb;
mod failure;
pub mod kinesis;
mod settings;
mod stream;

pub use client::{Connection, connect};
pub use settings::{ConnectionSettings, StaticCredentials};
pub use stream::{InvalidStream, StreamRef};
