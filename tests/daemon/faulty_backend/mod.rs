//! The outputs through real sockets: the whole daemon in this process, many callers, and a backend with injected faults.
//! The responses to callers are compared with the stored records.

mod assertions;
mod callers;
mod environment;

mod backend;
mod batching;
mod bulk;
mod failures;
mod items;
#[cfg(feature = "embedded")]
mod joining;
mod permission;
#[cfg(feature = "embedded")]
mod shard_limits;
mod shutdown;
mod throttling;
