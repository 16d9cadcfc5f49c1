//! Kinesis: shards, records out, records in by polling and by enhanced fan-out.

mod aggregate;
mod directory;
mod fan_out;
mod pace;
mod polling;
mod producer;
mod provision;
mod record;
mod registration;
mod resubscribe;
mod service_date;
mod subscribe;

pub use aggregate::{Damage, UserRecord, pack, unpack};
pub use directory::Directory;
pub use fan_out::{FanOut, FanOutTimes};
pub use polling::Polling;
pub use producer::{LARGEST_RECORD, LONGEST_PARTITION_KEY, Producer, PutReceipt, PutRequest, check_limits};
pub use provision::ensure_stream;
