//! `bindings.aws.kinesis`: records in, through leases, and records out.
//!
//! The way of a record out: `output` reads the request (`request`), `keys` choose its partition, `payload` makes its
//! bytes, the producer stores it, `answer` tells. `bulk` does the same for many items, each by itself. What fails for
//! good goes to the dead letter binding, if the file names one.

mod answer;
mod binding;
mod bulk;
mod foreign_names;
mod input;
mod keys;
mod output;
mod output_spec;
mod payload;
mod pointer;
mod request;
mod spec;
mod timestamp;

pub(super) use binding::connect;
pub use input::default_consumer;
pub use keys::{HashKeySource, KeySource};
pub use output_spec::OutputSpec;
pub use payload::{Compression, PayloadForm};
pub use pointer::{InvalidPointer, Pointer};
pub use spec::{Mode, Spec};
