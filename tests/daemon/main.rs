//! The whole daemon in this process, against embedded Kinesis and DynamoDB, through real sockets. One subject a file.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "how a test says that something is broken")]

mod calls;
mod fakes;
mod inputs;
mod world;

mod api;
mod app_failures;
mod dynamodb;
mod dynamodb_bulk;
mod killed;
mod kinesis_outputs;
mod manifests;
mod outputs;
mod process;
mod resharding;
mod restart;
mod shutdown;
mod signals;
mod streams;
mod two_daemons;
