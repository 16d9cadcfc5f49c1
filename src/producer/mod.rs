//! The engine of outputs: many callers, few calls, each caller its own true answer. Knows no AWS.
//!
//! A caller hands a record to [`Producer::put`] and waits for the proof that this very record is stored.

mod handle;
#[cfg_attr(not(test), expect(dead_code, reason = "the engine takes it into use"))]
mod limiter;
mod pace;
mod settings;
#[cfg_attr(not(test), expect(dead_code, reason = "as the limiter"))]
mod shard_map;

pub use handle::{Ports, Producer, PutOptions, Written};
pub use settings::{
    Aggregation, Batching, Ordering, OrderingOnFailure, ProducerSettings, QueueBounds, RateLimit, RateLimitMode,
    RetryPolicy,
};
