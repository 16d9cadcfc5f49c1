//! What a component, a shard, a lease and a record are, and the traits (ports) through which modules work together.
//!
//! Nothing here does I/O, names an SDK, knows HTTP or reads a clock. `aws` and `app` implement the traits; `consumer`,
//! `producer`, `bindings` and `http` use them.

#[macro_use]
mod string_newtype;

mod api_rules;
mod binding;
mod body_memory;
mod checkpoint;
mod credential_report;
mod dead_letter;
mod event;
mod event_format;
mod failure;
mod go_duration;
mod grpc_code;
mod input_report;
mod invoke;
mod json_members;
mod json_text;
mod lease;
mod lease_grant;
mod lease_store;
mod message;
mod name;
mod output_report;
mod record;
mod retrieval;
mod rfc3339;
mod sequence;
mod shaping;
mod shard;
mod stop;
mod stream;
mod writing;

pub use api_rules::{ApiProtocol, ApiRule, ApiRules, ServedApi};
pub use binding::{Binding, InputBinding, OperationName, OutputBinding, Outputs};
pub use body_memory::{BodyMemory, BodyMemoryFull, Reservation, ReservedMemory};
pub use checkpoint::{Checkpoint, InitialPosition, ResetPosition, SentinelCheckpoint, StartingPosition, Timestamp};
pub use credential_report::CredentialReport;
pub use dead_letter::{DeadLetter, DeadLetterStore, GiveUpReason};
pub use event::{Accepted, BindingEvent, DeliveryError, EventBatch, EventHandler, EventOrigin, RedeliveryPolicy};
pub use event_format::{
    BodyFormat, Decompress, DecompressFailure, EventContentType, EventFormat, EventSource, PartialFailures,
};
pub use failure::{BindingError, BoxError, FailureKind, Outcome, cause_line, causes};
pub use go_duration::GoDuration;
pub use grpc_code::grpc_code_name;
pub use input_report::{ErrorReport, HeldShard, InputReport, ShardReport, ShardState};
pub use invoke::{Completion, DEAD_LETTERED, DataForm, InvokeRequest, InvokeResponse, Metadata, slice_or_copy};
pub use json_members::JsonMembers;
pub use json_text::JsonText;
pub use lease::{Lease, LeaseCounter, NewLease, WorkerId};
pub use lease_grant::{LeaseGrant, is_released, is_requested, is_reserved, is_taken};
pub use lease_store::{LeaseError, LeaseStore, Renewed};
pub use message::Message;
pub use name::{ComponentName, Direction, InvalidName, app_id_or_default};
pub use output_report::{OutputReport, OutputShard, RateLimitReport, ShardMapReport};
pub use record::{Record, RecordBatch, RecordGap};
pub use retrieval::{
    Fetched, ReadLimit, RecordDistribution, RecordSource, Retrieval, RetrievalError, ShardDirectory, ShardListing,
    StreamDirectory,
};
pub use rfc3339::Rfc3339;
pub use sequence::{InvalidSequenceNumber, RecordPosition, SequenceNumber};
pub use shaping::{RecordFilter, RecordTransform, TransformError, Transformed};
pub use shard::{HashKeyRange, Shard, ShardId};
pub use stop::{DrainLimits, Stop};
pub use stream::StreamIdentity;
pub use writing::{InvalidPartitionKey, NewRecord, PartitionKey, Receipt, RecordWriter};
