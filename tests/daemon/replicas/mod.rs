//! Three sidecars in separate processes on one stream: what is put arrives, in order, one record of a key at a time,
//! whatever happens to the sidecars, the stream, the app, and the connections to Kinesis and DynamoDB.
//!
//! Each test prints a line of facts (`--nocapture` shows it). `BINDD_FAULTS_SECONDS` repeats what happens for so long in
//! each test; without it, it happens once.

mod app;
mod app_troubles;
mod cluster;
mod crashes;
mod facts;
mod load;
mod proxy;
mod reshards;
mod takeover;
mod upstream;
mod worker;

use std::time::Duration;

/// How long a test goes on.
fn duration() -> Duration {
    // The only reader of the environment in these tests.
    let seconds = std::env::vars().find(|(name, _)| name == "BINDD_FAULTS_SECONDS");
    let seconds =
        seconds.map(|(_, value)| value.parse().unwrap_or_else(|_| panic!("seconds must be a number: {value}")));
    Duration::from_secs(seconds.unwrap_or_default())
}
