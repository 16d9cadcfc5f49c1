//! Adapters to AWS: the only room that may name an AWS SDK type.

pub mod dynamodb;
pub mod kinesis;
mod settings;

pub use settings::{ConnectionSettings, StaticCredentials};
