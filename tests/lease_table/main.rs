//! The lease table against a DynamoDB in the process: the whole contract of `LeaseStore`, and the rows that it leaves.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod foreign;
mod items;
mod rows;
mod service;
