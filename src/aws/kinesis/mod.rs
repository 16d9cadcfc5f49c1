//! Kinesis: shards, records out, records in by polling and by enhanced fan-out.

mod aggregate;
mod directory;
mod pace;
mod polling;
mod producer;
mod provision;
mod record;
mod service_date;

pub use aggregate::{Damage, UserRecord, pack, unpack};
pub use directory::Directory;
pub use polling::Polling;
pub use producer::{LARGEST_RECORD, LONGEST_PARTITION_KEY, Producer, PutReceipt, PutRequest, check_limits};
pub use provision::ensure_stream;
