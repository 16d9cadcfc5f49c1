//! Delivers the records of one shard: in parallel, but those of one partition key one after the other.
//!
//! [`Delivery`] drives the requests; `request` transforms the records of one and sends it. What is decided is decided by
//! pure code: `lanes` (what is sent next), `attempts` (what follows from a failure), `circuit` and `adaptive_limit` (how
//! much the app can take, for all inputs in [`AppAdmission`]).

mod adaptive_limit;
mod admission;
mod attempts;
mod circuit;
mod driver;
mod failure_log;
mod lanes;
mod request;
mod results;

pub(super) use admission::AppAdmission;
pub(super) use driver::{Bounds, Delivered, Delivery, Destination};
