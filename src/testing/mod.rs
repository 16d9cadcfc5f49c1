//! In-memory ports, the contract that every lease store must pass, and a null backend, behind the feature `testing`.
//!
//! Release builds leave this module out. Random values come from a seed, and waits use Tokio's clock, so that a test can
//! pause time.

mod backend;
mod fan_out;
mod fan_out_source;
mod handler;
mod lease_contract;
mod lease_faults;
mod lease_requests;
mod log_lines;
mod memory_leases;
mod memory_stream;
mod model_sink;
mod network;
mod sink_faults;
mod sink_shards;
mod stream_faults;
mod stream_ports;
mod waiting;

pub use backend::{
    BackendRecord, BackendSettings, Counts, Faults, NullBackend, Recording, ScriptedKinesis, ScriptedReply, ShardRate,
};
pub use fan_out::ModelFanOut;
pub use handler::{Delivery, RecordingHandler, Reply};
pub use lease_contract::lease_store_contract;
pub use lease_faults::{FaultyLeaseStore, Partition};
pub use log_lines::LogLines;
pub use memory_leases::MemoryLeaseStore;
pub use memory_stream::{MemoryStream, Put};
pub use model_sink::{ModelSink, POISON, SinkCalls, SinkSettings};
pub use network::{Network, NoReply};
pub use sink_faults::SinkFaults;
pub use sink_shards::StoredRecord;
pub use stream_faults::{ReadFault, StreamFaults};
pub use waiting::{until, within};
