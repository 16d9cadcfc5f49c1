//! Kinesis: the shards of a stream, writing records, and reading them by polling or by enhanced fan-out.
//!
//! `polling` and `fan_out` implement the domain's `Retrieval`; both resume after the last record that they returned, so a
//! retry neither skips nor repeats records.

mod directory;
mod fan_out;
mod poll_schedule;
mod polling;
mod provision;
mod record;
mod registration;
mod retries;
mod starting_position;
mod subscription;
mod subscription_plan;
mod time;
mod writer;

pub use directory::Directory;
pub use fan_out::{FanOut, FanOutTimeouts};
pub use polling::Polling;
pub use provision::ensure_stream;
pub use writer::Writer;
