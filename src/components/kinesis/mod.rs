//! `bindings.aws.kinesis`: records in, through leases, and records out.

mod spec;
mod timestamp;

pub use spec::{Mode, Spec};
