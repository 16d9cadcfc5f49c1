//! Kinesis: shards, records out, records in by polling and by enhanced fan-out.

mod aggregate;
mod directory;
mod producer;
mod provision;
mod record;

pub use aggregate::{Damage, UserRecord, pack, unpack};
pub use directory::Directory;
pub use producer::{LARGEST_RECORD, LONGEST_PARTITION_KEY, Producer, PutReceipt, PutRequest, check_limits};
pub use provision::ensure_stream;
