//! Kinesis: shards, records out, records in by polling and by enhanced fan-out.

mod directory;
mod fan_out;
mod pace;
mod polling;
mod provision;
mod record;
mod registration;
mod resubscribe;
mod service_date;
mod subscribe;
mod writer;

pub use directory::Directory;
pub use fan_out::{FanOut, FanOutTimes};
pub use polling::Polling;
pub use provision::ensure_stream;
pub use writer::Writer;
