//! The fields of a `bindings.aws.kinesis` file, read and checked.

use super::super::connection::read_connection;
use super::super::fields::{name_problem, not_allowed, read_direction, read_endpoint, read_name, read_route};
use super::foreign_names::FOREIGN_NAMES;
use super::output_spec::OutputSpec;
use super::timestamp::parse_timestamp;
use crate::aws::kinesis::{DEFAULT_POLL_INTERVAL, POLL_INTERVALS};
use crate::aws::{ConnectionSettings, InvalidStream, StreamRef};
use crate::domain::{ComponentName, Direction, InitialPosition, Timestamp};
use crate::manifest::{Document, Faults, Notice, Reader};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The lengths of `CreateStream.StreamName`.
const STREAM_NAME: RangeInclusive<usize> = 1..=128;
/// The lengths of `RegisterStreamConsumer.ConsumerName`.
const CONSUMER_NAME: RangeInclusive<usize> = 1..=128;
/// The lengths of `CreateTable.TableName`.
const TABLE_NAME: RangeInclusive<usize> = 3..=255;
const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// How records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `shared`: by polling, within the stream's shared read throughput.
    #[default]
    Shared,
    /// `extended`: enhanced fan-out, with a registered consumer.
    Extended,
}

/// What an input does that cannot register its consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// `none`: it is tried again.
    #[default]
    None,
    /// `shared`: the input reads by polling until it restarts.
    Shared,
}

/// A Kinesis component whose file was checked; nothing was contacted.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `streamName` (Dapr's name; `stream` in other tools): name or ARN.
    pub stream: StreamRef,
    /// Region, endpoint, credentials and connection options.
    pub connection: ConnectionSettings,
    /// `direction`
    pub direction: Direction,
    /// Fields of the input side.
    pub input: InputSpec,
    /// Fields of the output side.
    pub output: OutputSpec,
}

/// The input side of a Kinesis component.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// `consumerName`: names the registered consumer of mode `extended` and, without `leaseTable`, the lease table.
    /// Inputs that share it share the shards.
    pub consumer_name: Option<String>,
    /// `mode`, default `shared`.
    pub mode: Mode,
    /// `pollInterval`: how often an idle shard is polled. 200 ms to 60 s, default 1 s.
    pub poll_interval: Duration,
    /// `createConsumer`: whether a consumer that is missing is registered in mode `extended`; default `true`.
    pub create_consumer: bool,
    /// `fallback`: what to do where enhanced fan-out is not available; default `none`.
    pub fallback: Fallback,
    /// `route`: the app's path, with its leading `/`; without it, the component's name.
    pub route: Option<String>,
    /// `initialPosition`, with `initialTimestamp`; default `latest`.
    pub initial_position: InitialPosition,
    /// `leaseDuration`: how long a lease is valid after its last renewal. 500 ms to 1 h, default 10 s.
    pub lease_duration: Duration,
    /// `leaseTable`: the DynamoDB table with the leases; without it, the consumer's name.
    pub lease_table: Option<String>,
    /// `leaseEndpoint`: endpoint of the lease table where it is not `endpoint`, for emulators with one port per service.
    pub lease_endpoint: Option<String>,
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
        let (input, input_fields) = reader.given_fields_of(InputSpec::read);
        let (output, output_fields) = reader.given_fields_of(OutputSpec::read);
        if !direction.has_input() {
            notice_unused(reader, "`output` leaves the input side out", &input_fields);
        }
        if direction.has_input() && !reader.is_given("consumerName") {
            check_default_consumer(reader, &input);
        }
        if !direction.has_output() {
            notice_unused(reader, "`input` leaves the output side out", &output_fields);
        }
        // A missing or wrong stream is already a fault; the empty name is never used.
        let stream = stream.unwrap_or_else(|| StreamRef::Name(String::new()));
        Self { stream, connection, direction, input, output }
    }
}

impl InputSpec {
    fn read(reader: &mut Reader<'_>) -> Self {
        let lease = Duration::from_millis(500)..=Duration::from_secs(3_600);
        let names_table = !reader.is_given("leaseTable");
        let spec = Self {
            consumer_name: read_consumer_name(reader, names_table),
            mode: reader.one_of("mode", &[("shared", Mode::Shared), ("extended", Mode::Extended)]).unwrap_or_default(),
            poll_interval: reader.duration("pollInterval", POLL_INTERVALS).unwrap_or(DEFAULT_POLL_INTERVAL),
            create_consumer: reader.boolean("createConsumer").unwrap_or(true),
            fallback: reader
                .one_of("fallback", &[("none", Fallback::None), ("shared", Fallback::Shared)])
                .unwrap_or_default(),
            route: read_route(reader),
            initial_position: read_initial_position(reader),
            lease_duration: reader.duration("leaseDuration", lease).unwrap_or(DEFAULT_LEASE),
            lease_table: read_name(reader, "leaseTable", "a table name", &TABLE_NAME),
            lease_endpoint: read_endpoint(reader, "leaseEndpoint"),
        };
        spec.notice_mode(reader);
        spec
    }

    /// Fields that have no effect in this mode.
    fn notice_mode(&self, reader: &mut Reader<'_>) {
        let (why, fields): (_, &[&str]) = match (self.mode, self.fallback) {
            (Mode::Shared, _) => ("it has an effect only with `mode: extended`", &["createConsumer", "fallback"]),
            (Mode::Extended, Fallback::None) => {
                ("it has an effect only with `mode: shared` or `fallback: shared`", &["pollInterval"])
            }
            (Mode::Extended, Fallback::Shared) => return,
        };
        for field in fields.iter().filter(|field| reader.is_given(field)).collect::<Vec<_>>() {
            reader.notice(field, why);
        }
    }

    /// The consumer's name, by default made of app id and component name.
    #[must_use]
    pub fn consumer(&self, app_id: &str, component: &ComponentName) -> String {
        self.consumer_name.clone().unwrap_or_else(|| default_consumer(app_id, component))
    }

    /// The lease table of a consumer of that name.
    #[must_use]
    pub fn lease_table<'a>(&'a self, consumer: &'a str) -> &'a str {
        self.lease_table.as_deref().unwrap_or(consumer)
    }
}

/// App id and component name, in the characters that names of tables and consumers allow.
fn default_consumer(app_id: &str, component: &ComponentName) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    format!("{app_id}-{component}").chars().map(plain).collect()
}

fn notice_unused(reader: &mut Reader<'_>, why: &str, fields: &[&str]) {
    if !fields.is_empty() {
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        reader.notice("direction", &format!("{why}, so these have no effect: {}", fields.join(", ")));
    }
}

fn read_initial_position(reader: &mut Reader<'_>) -> InitialPosition {
    #[derive(Clone, Copy)]
    enum Position {
        Latest,
        TrimHorizon,
        AtTimestamp,
    }
    let words = [
        ("latest", Position::Latest),
        ("trim_horizon", Position::TrimHorizon),
        ("at_timestamp", Position::AtTimestamp),
    ];
    let position = reader.one_of("initialPosition", &words).unwrap_or(Position::Latest);
    let is_given = reader.is_given("initialTimestamp");
    let timestamp = reader.parsed("initialTimestamp", |text| {
        let remedy = || "write it as `2026-01-31T08:00:00Z`, or as seconds or milliseconds since 1970".to_owned();
        parse_timestamp(text).ok_or_else(|| ("this is not a date and time".to_owned(), remedy()))
    });
    match position {
        Position::AtTimestamp => {
            if !is_given {
                reader.fault(
                    "initialTimestamp",
                    "`at_timestamp` needs a date and time",
                    "add it, such as `2026-01-31T08:00:00Z`",
                );
            }
            InitialPosition::AtTimestamp(timestamp.unwrap_or(Timestamp::from_millis(0)))
        }
        Position::Latest | Position::TrimHorizon if is_given => {
            let remedy = "write `initialPosition: at_timestamp`, or leave `initialTimestamp` out";
            reader.fault("initialTimestamp", "it has an effect only with `at_timestamp`", remedy);
            InitialPosition::Latest
        }
        Position::Latest => InitialPosition::Latest,
        Position::TrimHorizon => InitialPosition::TrimHorizon,
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

/// The name must be valid for a registered consumer and, where it names the lease table, for a table too.
fn read_consumer_name(reader: &mut Reader<'_>, names_table: bool) -> Option<String> {
    if names_table {
        let lengths = *TABLE_NAME.start()..=*CONSUMER_NAME.end();
        read_name(reader, "consumerName", "a consumer name, which also names the lease table,", &lengths)
    } else {
        read_name(reader, "consumerName", "a consumer name", &CONSUMER_NAME)
    }
}

/// The default has only allowed characters, but it may be too long. An unknown app id counts as one character.
fn check_default_consumer(reader: &mut Reader<'_>, input: &InputSpec) {
    let max = match (input.mode, &input.lease_table) {
        (Mode::Extended, _) => *CONSUMER_NAME.end(),
        (Mode::Shared, None) => *TABLE_NAME.end(),
        (Mode::Shared, Some(_)) => return,
    };
    let length = default_consumer(reader.app_id().unwrap_or("x"), reader.component()).chars().count();
    if length > max {
        let problem = format!(
            "the field is missing, and its default (app id and component name) has {length} characters, more than {max}"
        );
        let (min, max) = (TABLE_NAME.start(), CONSUMER_NAME.end());
        let remedy = format!("add it, with {min} to {max} letters, digits, `_`, `.` or `-`");
        reader.fault("consumerName", problem, remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_consumer_is_a_valid_table_name() {
        let component = "orders in".parse().unwrap();
        assert_eq!(default_consumer("shop:1", &component), "shop-1-orders-in");
    }
}
