//! How events become a request to the app, and how its response is read.

use std::sync::Arc;

/// What an input's file says about its requests to the app. The default is Dapr's: one record, unchanged, as
/// `application/json`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFormat {
    pub body: BodyFormat,
    /// Only for [`BodyFormat::Raw`]; the other formats have their own media type.
    pub content_type: EventContentType,
    pub partial: PartialFailures,
    pub decompress: Decompress,
    pub source: EventSource,
}

/// The form of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFormat {
    /// The record's bytes, as Dapr sends them.
    #[default]
    Raw,
    /// The event that Lambda's event source mapping sends for Kinesis.
    Lambda,
    /// One CloudEvent in structured mode.
    CloudEvent,
    /// A JSON array of CloudEvents.
    CloudEventBatch,
    /// One line per record.
    NdJson,
}

impl BodyFormat {
    /// Whether a request may carry several records.
    #[must_use]
    pub const fn is_batch(self) -> bool {
        match self {
            Self::Raw | Self::CloudEvent => false,
            Self::Lambda | Self::CloudEventBatch | Self::NdJson => true,
        }
    }
}

/// The content type of a raw record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EventContentType {
    /// `application/json` for every record, as in Dapr.
    #[default]
    Json,
    /// `application/json` only for JSON objects and arrays, which every framework accepts; else `text/plain` or
    /// `application/octet-stream`.
    Auto,
    /// This one for every record: visible ASCII and spaces.
    Fixed(Arc<str>),
}

/// Whether the body of a successful response is read, and which events count as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartialFailures {
    /// The status alone decides.
    #[default]
    Off,
    /// `batchItemFailures` is read; the lowest event that it names and all after it failed, as in Lambda.
    Lowest,
    /// `batchItemFailures` is read; exactly the events that it names failed.
    Exact,
}

/// Which records are decompressed before they are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decompress {
    #[default]
    Off,
    /// All; one that is not gzip is delivered as it is and reported.
    Gzip,
    /// Those that begin with the magic bytes of gzip.
    Auto,
}

/// Why a record is delivered as it is, although it was to be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecompressFailure {
    Corrupt,
    TooLarge,
}

/// What the formats say about the stream and its reader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventSource {
    pub region: Arc<str>,
    /// Used while the stream's own ARN is not known.
    pub stream_arn: Arc<str>,
    /// The role that reads the stream; empty if the file names none.
    pub identity_arn: Arc<str>,
}
