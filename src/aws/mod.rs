//! AWS: connections and credentials, Kinesis streams, and the lease table in DynamoDB.
//!
//! `connect` makes a [`Connection`], from which the adapters make their SDK clients. `kinesis` implements the record source,
//! writer and directory of the domain; `lease_table` implements its lease store. `failure` is the only place that reads the
//! SDK's errors and error codes, and each failed call says whether it was done.

mod advice;
mod arn;
mod call_span;
mod client;
mod clock;
mod credentials;
mod direct_call;
mod error_code;
mod failure;
pub mod kinesis;
pub mod lease_table;
mod proxy;
mod region;
mod settings;
mod stream;
mod table;
mod transport;
mod unsent;

pub use arn::Arn;
pub use client::{CallSts, Connection, connect};
pub use credentials::{CredentialText, check_credential_text};
pub(crate) use failure::{CallError, classify};
pub(crate) use proxy::{Proxies, Proxy, Route as ProxyRoute};
pub use region::{Partition, RegionCheck, check_region, known_regions};
pub use settings::{ConnectionSettings, IdentitySettings, IdentitySource, StaticCredentials};
pub use stream::{InvalidStream, StreamRef};
pub(crate) use table::key_schema;
pub use table::{Item, KeyAttribute, KeySchema, KeyType, ensure_table};
