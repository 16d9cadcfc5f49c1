//! The engine of outputs: many callers, few calls, each caller its own true answer. Knows no AWS.
//!
//! A caller hands a record to [`Producer::put`] and waits for the proof that this very record is stored. One owner task
//! (`driver`) holds the state (`engine`): what waits (`queue`), what a call takes along (`forming`, `batch`), what a reply
//! means (`settlement`, `settle`), how each record leaves (`leaving`), what is known of the shards (`shards`), and whether
//! calls with several records are allowed (`batch_permission`, `single_calls`). The bounds of the queue (`gate`) and the way
//! back (`waiter`) are shared with callers, so that a refusal costs nothing and no caller is ever left without an answer.

mod batch;
mod batch_permission;
mod call_time;
mod driver;
mod engine;
mod forming;
mod gate;
mod handle;
mod leaving;
mod limiter;
mod pace;
mod pending;
mod queue;
mod refusals;
mod settings;
mod settle;
mod settlement;
mod shard_map;
mod shards;
mod single_calls;
mod throughput;
mod waiter;

pub use crate::resilience::RetryPolicy;
pub use handle::{Ports, Producer, PutOptions, Written};
pub use settings::{
    Aggregation, Batching, Ordering, OrderingOnFailure, ProducerSettings, QueueBounds, RateLimit, RateLimitMode,
};

#[cfg(test)]
mod tests;
