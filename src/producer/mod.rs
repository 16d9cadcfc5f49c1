//! The engine of outputs: it joins the records of many callers into few calls and gives each caller the result of its own
//! record. Knows no AWS.
//!
//! A record passes through these files from top to bottom:
//!
//! 1. `handle`: [`Producer::put`] checks the size, takes a permit of the bounded queue (`admission`) and sends the record
//!    to the owner task.
//! 2. `driver`: the owner task. Waits for records, replies and timers, passes them to the engine and starts the calls that
//!    the engine returns.
//! 3. `engine`: the state, without I/O. Accepts records into the `queue`, which keeps the order of keys, the timers and the
//!    rate limits (`shards`, `limiter`, `token_bucket`), and decides when the next batch is sent (`batcher`). Where that is
//!    configured, `combiner` makes one record of several.
//! 4. `responses`: what the reply of a call means for each of its records: done, failed, or sent again (`retry`,
//!    `refused_calls`).
//! 5. `completion`: removes a record from the queue and answers its caller.
//!
//! `shard_view` has what the owner knows of the shards, for reports.
//!
//! While a component is replaced, its new producer accepts records, and sends them once the old one has ended, so that the
//! order of a key is kept (`succession`).
//!
//! Whatever ends a record, `Queue::remove` gives back its slot of the rate limit, and dropping the record gives back its
//! permit.
//!
//! Invariants: each record is answered exactly once; a record is in at most one call at a time; a batch is never sent again
//! as a whole after a partial reply; nothing is stored after it was answered `NotDone`.

mod admission;
mod batch_permission;
mod batcher;
mod call_time;
mod combiner;
mod completion;
mod driver;
mod engine;
mod errors;
mod handle;
mod limiter;
mod lists;
mod queue;
mod record;
mod refused_calls;
mod responses;
mod retry;
mod settings;
mod shard_map;
mod shard_view;
mod shards;
mod succession;
mod token_bucket;
mod types;

pub use crate::resilience::RetryPolicy;
pub use handle::{Producer, checked_size};
pub use settings::{
    Aggregation, Batching, DEFAULT_AGGREGATE_SIZE, Growth, Ordering, OrderingOnFailure, ProducerSettings, QueueBounds,
    RateLimit, RateLimitMode,
};
pub use shard_map::hash_key;
pub use succession::{Successions, Turn};
pub use types::{OutgoingRecord, Ports, PutOptions, Written};

#[cfg(test)]
mod tests;
