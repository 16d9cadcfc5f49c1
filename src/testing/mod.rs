//! In-memory ports, the contract that every lease store must pass, and a null backend. Feature `testing`; above `domain`,
//! outside release builds. All random choices come from a seed, and all waits use Tokio's clock, so that tests can pause time.

mod backend;
mod handler;
mod lease_contract;
mod lease_faults;
mod memory_leases;
mod memory_stream;
mod model_sink;
mod sink_faults;
mod sink_shards;
mod stream_ports;
mod waiting;

pub use backend::{BackendSettings, Counts, Faults, Keeping, KeptRecord, NullBackend, ShardRate};
pub use handler::{Delivery, RecordingHandler, Reply};
pub use lease_contract::lease_store_contract;
pub use lease_faults::FaultyLeaseStore;
pub use memory_leases::MemoryLeaseStore;
pub use memory_stream::{MemoryStream, Put};
pub use model_sink::{ModelSink, POISON, SinkCalls, SinkSettings};
pub use sink_faults::SinkFaults;
pub use sink_shards::StoredRecord;
pub use stream_ports::StreamFaults;
pub use waiting::{until, within};
