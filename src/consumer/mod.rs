//! The engine: a sharded stream consumed by leases. It knows no AWS; streams, leases and the app are ports of
//! [`crate::domain`]. Called by `components`, which assembles a [`Worker`] for each input binding.
//!
//! Two owners, both of the same shape: `select` waits for one event, `apply` decides without waiting and returns
//! effects, a driver performs them.
//!
//! ```text
//!  Worker ── Coordinator      scan leases, list shards ─► identity ─► lineage: create, remove ─► assignment: take, ask
//!    └─ one consumer a lease  Opening ─► Consuming ─► Draining ─► Ended(reason)
//!         lanes: fetch │ delivery │ lease     at most one call each; the grant travels in the lease lane's call
//! ```
//!
//! Laws:
//! - Nothing is checkpointed before the app accepted it and everything before it.
//! - A record is repeated until it is accepted; none is skipped.
//! - A delivery begins only while the lease is surely ours: its fence is stamped before a renewal is sent and is
//!   a fifth of the lease duration shorter than what others wait.
//! - Nothing is read or delivered of a stream to which the leases do not belong.
//! - A child's lease is created only when all its parents have ended.
//! - The worker joins all that it started.

mod assignment;
mod coordinator;
mod cycle;
mod delivery;
mod end_check;
mod error;
mod family;
mod history;
mod identity;
mod lanes;
mod lease_clock;
mod lineage;
mod pause;
mod progress;
mod reading;
mod settings;
mod shard_consumer;
mod shard_events;
mod vitals;
mod worker;

pub use error::ConsumerError;
pub use history::StreamHistory;
pub use settings::{ConsumerSettings, Ports};
pub use worker::Worker;

#[cfg(test)]
mod tests;
