//! Consumes a sharded stream with leases. It knows no AWS: streams, leases and the app are ports of [`crate::domain`].
//! `bindings` creates a [`Worker`] for each input binding.
//!
//! The worker and each shard consumer have the same structure: a driver waits for one event, a pure `apply` decides and
//! returns effects, and the driver performs them.
//!
//! ```text
//!  Worker ── Coordinator            scan leases, list shards ─► identity ─► shard_sync, lineage: create, remove
//!    │                                                                  └─► lease_taker: take, request handoff
//!    └─ ShardDriver ── ShardConsumer   one for each lease: Running ─► Draining ─► Ended(reason)
//!         ├─ read: one call in flight, for which memory was reserved (budget); then the filter
//!         ├─ delivery: lanes of records, requests to the app in parallel (AppAdmission), dead letters
//!         └─ LeaseRenewer: renews, checkpoints and releases the lease, on a thread that nothing else delays
//! ```
//!
//! Invariants:
//! - A position is checkpointed only after the app accepted its record and all records before it. A record that a filter
//!   leaves out, or that a transform has no output for, counts as accepted.
//! - A record is repeated until it is accepted, or given up as the options say: stored as a dead letter, halted, or dropped
//!   and counted.
//! - Records of one lane, such as those of a partition key, are delivered one after the other in their order.
//! - A delivery begins only before the fence of the lease. The fence is set when a renewal is sent, to a fifth of the lease
//!   duration before other workers may take the lease.
//! - Nothing is read or delivered while the leases belong to another stream.
//! - The lease of a child shard is created only after all its parents have ended.
//! - The worker joins all tasks that it started.

mod app_watch;
mod budget;
mod call_log;
mod claims;
mod coordinator;
mod cost;
mod delivery;
mod drain_times;
mod error;
mod failing_calls;
mod fence;
mod identity;
mod lease_scan;
mod lease_taker;
mod limits;
mod lineage;
mod messages;
pub mod mutants;
mod progress;
mod renewer;
mod renewer_task;
mod renewer_thread;
mod retention;
mod settings;
mod shard_consumer;
mod shard_driver;
mod shard_end;
mod shard_events;
mod shard_reader;
mod shard_sync;
mod status;
mod stream_state;
mod timers;
mod worker;
mod worker_events;

pub use error::ConsumerError;
pub use limits::SharedLimits;
pub use renewer_task::Renewers;
pub use renewer_thread::RenewerThread;
pub use settings::{
    ConsumerSettings, DeliverySettings, OnGap, OnInvalidCheckpoint, OnPoison, Order, Partial, Ports, RecordShaping,
    WallClock,
};
pub use status::InputStatus;
pub use stream_state::StreamState;
pub use worker::Worker;

#[cfg(test)]
mod tests;
