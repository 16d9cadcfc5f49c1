//! Adapters to AWS: the only room that may name an AWS SDK type.

pub mod dynamodb;
pub mod kinesis;
mod settings;
mod stream;

pub use settings::{ConnectionSettings, StaticCredentials};
pub use stream::{InvalidStream, StreamRef};
