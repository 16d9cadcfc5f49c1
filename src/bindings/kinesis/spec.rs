//! The fields of a `bindings.aws.kinesis` file, read and checked.

use super::super::connection::read_connection;
use super::super::fields::{name_problem, not_allowed, read_direction};
use super::super::shaping::{self, FilterFields, OnError, Shaping};
use super::delivery_spec::read_dead_letter_binding;
use super::foreign_names::FOREIGN_NAMES;
use super::input_spec::{InputSpec, check_default_consumer};
use super::key_spec::notice_filtered_key;
use super::output_spec::OutputSpec;
use crate::aws::{ConnectionSettings, InvalidStream, StreamRef};
use crate::domain::Direction;
use crate::manifest::{Document, Faults, Notice, Reader};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The lengths of `CreateStream.StreamName`.
const STREAM_NAME: RangeInclusive<usize> = 1..=128;
/// What a filter can name of the records of each side.
const OUTPUT_FIELDS: &[&str] = &["partitionKey"];
const INPUT_FIELDS: &[&str] = &["partitionKey", "sequenceNumber", "approximateArrivalTimestamp"];

/// A Kinesis component whose file was checked; nothing was contacted.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `streamName` (Dapr's name; `stream` in other tools): name or ARN.
    pub stream: StreamRef,
    /// Region, endpoint, credentials and connection options.
    pub connection: ConnectionSettings,
    /// `direction`
    pub direction: Direction,
    /// `filter` and `transform`, which serve both sides.
    pub shaping: Option<Arc<Shaping>>,
    /// Fields of the input side.
    pub input: InputSpec,
    /// Fields of the output side.
    pub output: OutputSpec,
}

impl Spec {
    /// Checks a document and reports all faults, not only the first. Wrong or missing fields get their defaults, so
    /// that cross-checks can still use the rest; a spec with faults must not be connected.
    #[must_use]
    pub fn check(document: &Document) -> (Self, Faults, Vec<Notice>) {
        let mut reader = Reader::new(document);
        reader.set_foreign_names(FOREIGN_NAMES);
        let spec = Self::read(&mut reader);
        let (faults, notices) = reader.finish();
        (spec, faults, notices)
    }

    /// Reads every field of the kind, whether the document has it or not; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.required_text("streamName");
        let is_shown = reader.is_written("streamName");
        let stream = reader.parsed("streamName", |text| parse_stream(text, is_shown));
        let region = stream.as_ref().and_then(StreamRef::region).map(|region| ("streamName", region));
        let connection = read_connection(reader, region);
        let direction = read_direction(reader);
        // Read here, because they serve both sides.
        let dead_letter = read_dead_letter_binding(reader);
        let known = if direction.has_output() { OUTPUT_FIELDS } else { INPUT_FIELDS };
        let shaping = shaping::read(reader, FilterFields { known, of_input: INPUT_FIELDS });
        // A wrong program, which has its own fault, counts as one that fails.
        let on_error = shaping.as_ref().and_then(|shaping| shaping.on_error());
        let on_error = on_error.or_else(|| shaping::transform_field(reader).map(|_| OnError::default()));
        let (input, input_fields) =
            reader.given_fields_of(|reader| InputSpec::read(reader, dead_letter.clone(), on_error));
        let (output, output_fields) = reader.given_fields_of(|reader| OutputSpec::read(reader, dead_letter));
        if on_error == Some(OnError::DeadLetter) {
            check_dead_letter_target(
                reader,
                direction,
                input.delivery.dead_letter.is_some(),
                output.dead_letter.is_some(),
            );
        }
        if !direction.has_input() {
            notice_unused(reader, "`output` leaves the input side out", &input_fields);
        }
        if direction == Direction::Input {
            input.delivery.check_dead_letter(reader, on_error);
        }
        if direction.has_input() {
            input.delivery.notice_halting_transform(reader, on_error);
        }
        if let Some(shaping) = shaping.as_ref().filter(|_| direction.has_output()) {
            notice_filtered_key(reader, shaping, &output.partition_key);
        }
        if direction.has_input() && !reader.is_given("consumerName") {
            check_default_consumer(reader, &input);
        }
        if !direction.has_output() {
            notice_unused(reader, "`input` leaves the output side out", &output_fields);
        }
        // A missing or wrong stream is already a fault; the empty name is never used.
        let stream = stream.unwrap_or_else(|| StreamRef::Name(String::new()));
        Self { stream, connection, direction, shaping, input, output }
    }
}

/// `transformOnError: dead-letter` needs a target on every side that is enabled.
fn check_dead_letter_target(reader: &mut Reader<'_>, direction: Direction, has_input: bool, has_output: bool) {
    if direction.has_output() && !has_output {
        let remedy = "add `deadLetterBinding`, or write `direction: input` if only the input is used";
        reader.fault("transformOnError", "`dead-letter` has no target at the output", remedy);
    } else if direction.has_input() && !has_input {
        let remedy = "add `deadLetterBinding` or `deadLetterFolder`";
        reader.fault("transformOnError", "`dead-letter` has no target at the input", remedy);
    }
}

fn notice_unused(reader: &mut Reader<'_>, why: &str, fields: &[&str]) {
    if !fields.is_empty() {
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        reader.notice("direction", &format!("{why}, so these have no effect: {}", fields.join(", ")));
    }
}

fn parse_stream(text: &str, is_shown: bool) -> Result<StreamRef, (String, String)> {
    text.parse::<StreamRef>().map_err(|error| {
        let detail = name_problem(text, &STREAM_NAME, is_shown).filter(|_| error == InvalidStream::Name);
        let problem = match detail {
            Some(detail) => not_allowed("a stream name", &STREAM_NAME, &detail),
            None => error.to_string(),
        };
        (problem, "correct the name or the ARN".to_owned())
    })
}
