//! Adapters to AWS: the only room that may name an AWS SDK type.

mod advice;
mod arn;
mod client;
mod clock;
mod credentials;
mod failure;
pub mod kinesis;
pub mod lease_table;
mod proxy;
mod region;
mod settings;
mod stream;
mod table;
mod transport;

pub use arn::Arn;
pub use client::{AskSts, Connection, connect};
pub use credentials::{KeyText, key_text};
pub(crate) use failure::{Failed, classify};
pub use region::{Partition, RegionVerdict, judge_region, known_regions};
pub use settings::{ConnectionSettings, IdentitySettings, IdentitySource, StaticCredentials};
pub use stream::{InvalidStream, StreamRef};
pub(crate) use table::key_schema;
pub use table::{Item, KeyAttribute, KeySchema, KeyType, ensure_table};
