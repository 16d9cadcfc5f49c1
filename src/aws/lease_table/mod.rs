//! The lease table in DynamoDB: the consumer's `LeaseStore`, in the row format of the Kinesis Client Library 2.x, so that
//! an application can move from the KCL to bindd and back without reading anything twice.
//!
//! `row` and `writes` turn leases into rows and conditional writes, both without I/O; `client` makes the calls; `setup`
//! creates and checks the table; `store` implements the port; `admin` is for operators; `dapr` reads the table of daprd.
//!
//! Invariant: only the worker that knows the current lease counter changes a lease, and every change raises the counter.
//! `writes` lists the condition of each write; the exceptions are a request for a handoff, which leaves the counter to the
//! owner, and the children of a shard, which never change once they are known.

mod admin;
mod client;
mod dapr;
mod row;
mod setup;
mod store;
mod writes;

pub use admin::{Edited, LeaseRows};
pub use dapr::DaprLease;
pub use store::LeaseTable;
