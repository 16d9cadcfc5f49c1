//! Kinesis and DynamoDB in this process, on loopback ports: for `bindd demo`, `bindd dev` and the tests.
//!
//! Both are foreign emulators (ferrokinesis, dynoxide) behind one owner, [`Aws`]. Without a place to keep data nothing
//! is written to disk. Kinesis is served here, over HTTP/1.1 and h2c, because the emulator's own server drags in its
//! command line; on the way in, `shim` mends what the emulator gets wrong. Release images are built without this module.

mod aws;
mod cbor;
mod deleted_stream;
mod frames;
mod put;
mod reshard;
mod serve;
mod shard_end;
mod shard_filter;
mod shim;
mod stream_arn;

#[cfg(test)]
mod tests;

pub use aws::{Aws, EmbeddedError, EmbeddedSettings};

/// Log directives that silence what the emulators say below errors: they warn of each refused call, such as the question
/// whether a table is there. To stand before the user's own directives, which then outrank them.
pub const QUIET: &str = "ferrokinesis=error,dynoxide=error";
