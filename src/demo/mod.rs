//! `bindd demo`: sidecar, app and AWS in one process, without an AWS account.
//!
//! ```text
//!  traffic ──POST orders-out──► sidecar ──PutRecord──► embedded Kinesis
//!                                  ▲                     │ polling        │ enhanced fan-out
//!                                  │                     ▼                ▼
//!  embedded DynamoDB ◄──PutItem── sidecar ◄─POST orders-table── shop (the app, called back for each order)
//! ```
//!
//! The sidecar is the real daemon on real sockets; only the shop and its traffic are simulated.

mod counters;
mod run;
mod samples;
mod screen;
mod shop;
mod sidecar;
mod traffic;

pub use run::{DemoError, run};
