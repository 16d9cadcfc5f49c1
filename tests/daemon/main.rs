//! The whole daemon and its adapters, through real sockets, against servers in this process: embedded Kinesis and
//! DynamoDB, or a server that fails as a test wants. One subject a file or folder.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "how a test says that something is broken")]

mod calls;
mod fakes;
mod inputs;
mod world;

mod access;
mod api;
mod app_failures;
mod docs;
mod dynamodb;
mod dynamodb_bulk;
mod fan_out_tls;
mod faulty_backend;
mod killed;
mod kinesis_outputs;
mod lease_table;
mod manifests;
mod outputs;
mod process;
mod resharding;
mod restart;
mod shutdown;
mod signals;
mod streams;
mod two_daemons;
