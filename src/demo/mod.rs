//! `bindd demo`: everything in one process, with no account and no other program.
//!
//! ```text
//!  traffic ──POST orders-out──► sidecar ──PutRecord──► embedded Kinesis
//!                                  ▲                     │ polling        │ enhanced fan-out
//!                                  │                     ▼                ▼
//!  embedded DynamoDB ◄──PutItem── sidecar ◄─POST orders-table── shop (the app, called back for each order)
//! ```
//!
//! The sidecar is the real daemon on real sockets; only the shop, the traffic and the screen are made up here.

mod run;
mod samples;
mod screen;
mod shop;
mod sidecar;
mod tally;
mod traffic;

pub use run::{DemoError, run};
