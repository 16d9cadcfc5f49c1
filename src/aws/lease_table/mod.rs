//! The lease table in DynamoDB: the consumer's `LeaseStore`, in the row format of the Kinesis Client Library 2.x, so that
//! an application can move from the KCL to bindd and back without reading anything twice.
//!
//! `row` and `writes` turn leases into rows and conditional writes, both without I/O; `calls` makes the calls; `store`
//! implements the port; `setup` makes the table usable before that.

mod calls;
mod row;
mod setup;
mod store;
mod writes;

pub use store::LeaseTable;
