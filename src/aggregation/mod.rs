//! The Kinesis Producer Library's format for many user records in one Kinesis record.
//!
//! `aws` takes such records apart when it reads, `producer` makes them when it writes; both meet here, below them.

mod format;

pub use format::{Damage, UserRecord, pack, unpack};
