//! Kinesis: the shards of a stream, writing records, and reading them by polling or by enhanced fan-out.
//!
//! `polling` and `fan_out` implement the domain's `Retrieval`; both resume at the last record that they returned, so a
//! retry neither skips nor repeats records, and a gap is noticed. The pace of a shard outlives its sources (`per_shard`).

mod directory;
mod fan_out;
mod fan_out_source;
mod get_records;
mod get_records_json;
mod page;
mod per_shard;
mod poll_schedule;
mod polling;
mod provision;
mod read_monitor;
mod read_position;
mod record;
mod record_size;
mod registration;
mod retries;
mod starting_position;
mod subscription;
mod subscription_pace;
mod subscription_plan;
mod time;
mod writer;

pub use directory::Directory;
pub use fan_out::FanOut;
pub use fan_out_source::FanOutTimeouts;
pub use poll_schedule::{DEFAULT_INTERVAL as DEFAULT_POLL_INTERVAL, INTERVALS as POLL_INTERVALS};
pub use polling::Polling;
pub use provision::ensure_stream;
pub use registration::{RegistrationError, RegistrationSettings};
pub use writer::Writer;

// For the model of fan-out in `testing`, which decides by the same code.
#[cfg(feature = "testing")]
pub(crate) use {subscription_pace::SubscriptionPace, subscription_plan::SubscriptionPlan};

#[cfg(test)]
#[path = "tests/calls.rs"]
mod tests;
