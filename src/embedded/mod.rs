//! Kinesis and DynamoDB in this process, on loopback ports: for `bindd demo`, `bindd dev` and the tests.
//!
//! Both are emulators from other crates (ferrokinesis, dynoxide); [`Aws`] starts and stops them. Data is written to disk
//! only if [`EmbeddedSettings::keep`] names a folder. bindd serves ferrokinesis itself, over HTTP/1.1 and h2c, because
//! the server of that crate depends on its command line. `corrections` is a middleware that corrects where ferrokinesis
//! differs from AWS. Release images are built without this module.

mod aws;
mod cbor;
mod corrections;
mod deleted_stream;
mod event_stream;
mod protocol;
mod put_limits;
mod reshard;
mod serve;
mod shard_end;
mod shard_filter;
mod shard_pages;
mod stream_arn;

#[cfg(test)]
mod tests;

pub use aws::{Aws, EmbeddedError, EmbeddedSettings};

/// Log directives that hide the warnings of the emulators: they log one for each error response, such as the one for a
/// table that does not exist yet. Put them before the user's own directives, which then take precedence.
pub const QUIET: &str = "ferrokinesis=error,dynoxide=error";
