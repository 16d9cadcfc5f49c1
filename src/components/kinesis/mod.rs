//! `bindings.aws.kinesis`: records in, through leases, and records out.

mod binding;
mod input;
mod output;
mod payload;
mod spec;
mod timestamp;

pub(super) use binding::connect;
pub(super) use input::default_consumer;
pub use spec::{Mode, Spec};
