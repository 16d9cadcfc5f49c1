//! Adapters to AWS: the only room that may name an AWS SDK type.

mod advice;
mod arn;
mod client;
mod clock;
mod credentials;
pub mod dynamodb;
mod failure;
pub mod kinesis;
mod probe;
mod proxy;
mod region;
mod settings;
mod stream;
mod transport;

pub use arn::Arn;
pub use client::{AskSts, Connection, connect};
pub use credentials::{KeyText, key_text};
pub use probe::{Answerer, StreamFacts, StreamProbe, TableProbe};
pub use region::{Partition, RegionVerdict, judge_region, known_regions};
pub use settings::{ConnectionSettings, IdentitySettings, IdentitySource, StaticCredentials};
pub use stream::{InvalidStream, StreamRef};
