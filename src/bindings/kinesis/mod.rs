//! `bindings.aws.kinesis`: an input that consumes a stream under leases, and an output that writes records.
//!
//! A record on its way out: `shaped_output` filters and transforms it, if the file says so (`prepared`), `output`
//! reads the request's options (`request`), `record_programs` reads from its data the partition key (`keys`) and whether it
//! ends its batch (`flush`), `payload` makes the bytes, the producer writes the record, `response` reports the result. `bulk` reads requests with
//! many items; a wrong item does not fail the others. A record that finally failed goes to the dead letter binding, if
//! the file names one.

mod batching_spec;
mod binding;
mod bulk;
mod compressed_writer;
mod dapr_leases;
mod delivery_spec;
mod flush;
mod foreign_names;
mod input;
mod input_shaping;
mod input_spec;
mod interpolation;
mod key_spec;
mod keys;
mod output;
mod output_spec;
mod payload;
mod pointer;
mod prepared;
mod record_programs;
mod request;
mod response;
mod shaped_output;
mod spec;
mod timestamp;
mod trial;

pub(super) use binding::connect;
pub use dapr_leases::{AdoptedLease, DaprRuns, adopt};
pub use delivery_spec::{DeadLetterTarget, DeliverySpec};
pub use input_spec::{Fallback, InputSpec, Mode};
pub use interpolation::Interpolation;
pub use keys::{HashKeySource, KeySource};
pub use output_spec::OutputSpec;
pub use payload::{Compression, PayloadForm};
pub use pointer::{InvalidPointer, Pointer};
pub use spec::Spec;
pub use timestamp::parse_timestamp;
pub(super) use trial::try_record;
