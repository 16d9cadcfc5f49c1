//! What a `bindings.aws.kinesis` file says, checked.

use super::super::connection::read_connection;
use super::super::fields::{name_problem, not_allowed, read_direction, read_endpoint, read_name, read_route};
use super::foreign_names::FOREIGN_NAMES;
use super::input::default_consumer;
use super::output_spec::OutputSpec;
use super::timestamp::parse_timestamp;
use crate::aws::{ConnectionSettings, InvalidStream, StreamRef};
use crate::domain::{Direction, InitialPosition, Timestamp};
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

/// A Kinesis component, checked; nothing was contacted.
#[derive(Debug, Clone)]
pub struct Spec {
    /// `streamName` (Dapr's name; `stream` in other tools): name or ARN.
    pub stream: StreamRef,
    /// `consumerName`: who shares the leases, and the registered consumer of mode `extended`; app id and component
    /// name when absent.
    pub consumer_name: Option<String>,
    /// `mode`, default `shared`.
    pub mode: Mode,
    /// Region, endpoint, keys and connection options.
    pub connection: ConnectionSettings,
    /// `direction`
    pub direction: Direction,
    /// `route`: the app's path, with its leading `/`; the component's name when absent.
    pub route: Option<String>,
    /// `initialPosition`, with `initialTimestamp`; default `latest`.
    pub initial_position: InitialPosition,
    /// `leaseDuration`: how long a lease may go unrenewed before a peer takes it. 500 ms to 1 h, default 10 s.
    pub lease_duration: Duration,
    /// `leaseTable`: the DynamoDB table with the leases; the consumer's name when absent.
    pub lease_table: Option<String>,
    /// `leaseEndpoint`: another endpoint for the lease table than `endpoint`, for emulators with a port for each
    /// service.
    pub lease_endpoint: Option<String>,
    /// What belongs to the output side alone.
    pub output: OutputSpec,
}

impl Spec {
    /// Checks a document. All of its faults are found, not only the first. With faults, what is wrong or missing has its
    /// default, so that others may still look at the rest; it must not be connected.
    #[must_use]
    pub fn check(document: &Document) -> (Self, Faults, Vec<Notice>) {
        let mut reader = document.reader();
        reader.recognise(FOREIGN_NAMES);
        let spec = Self::read(&mut reader);
        let (faults, notices) = reader.finish();
        (spec, faults, notices)
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        reader.required_text("streamName");
        let is_shown = reader.is_written("streamName");
        let stream = reader.parsed("streamName", |text| parse_stream(text, is_shown));
        let region = stream.as_ref().and_then(StreamRef::region).map(|region| ("streamName", region));
        let connection = read_connection(reader, region);
        let direction = read_direction(reader);
        let (input, of_input) = reader.given_among(InputSide::read);
        let (output, of_output) = reader.given_among(OutputSpec::read);
        if !direction.has_input() {
            tell_idle(reader, "`output` leaves the input side out", &of_input);
        }
        if direction.has_input() && !reader.is_given("consumerName") {
            check_default_consumer(reader, &input);
        }
        if !direction.has_output() {
            tell_idle(reader, "`input` leaves the output side out", &of_output);
        }
        Self {
            // A stand-in: what is wrong with the stream is a fault already.
            stream: stream.unwrap_or_else(|| StreamRef::Name(String::new())),
            consumer_name: input.consumer_name,
            mode: input.mode,
            connection,
            direction,
            route: input.route,
            initial_position: input.initial_position,
            lease_duration: input.lease_duration,
            lease_table: input.lease_table,
            lease_endpoint: input.lease_endpoint,
            output,
        }
    }
}

/// The fields that mean something only to the input side.
struct InputSide {
    consumer_name: Option<String>,
    mode: Mode,
    route: Option<String>,
    initial_position: InitialPosition,
    lease_duration: Duration,
    lease_table: Option<String>,
    lease_endpoint: Option<String>,
}

impl InputSide {
    fn read(reader: &mut Reader<'_>) -> Self {
        let lease = Duration::from_millis(500)..=Duration::from_secs(3_600);
        let names_table = !reader.is_given("leaseTable");
        Self {
            consumer_name: read_consumer_name(reader, names_table),
            mode: reader.one_of("mode", &[("shared", Mode::Shared), ("extended", Mode::Extended)]).unwrap_or_default(),
            route: read_route(reader),
            initial_position: read_initial_position(reader),
            lease_duration: reader.duration("leaseDuration", lease).unwrap_or(DEFAULT_LEASE),
            lease_table: read_name(reader, "leaseTable", "a table name", &TABLE_NAME),
            lease_endpoint: read_endpoint(reader, "leaseEndpoint"),
        }
    }
}

fn tell_idle(reader: &mut Reader<'_>, why: &str, fields: &[&str]) {
    if !fields.is_empty() {
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        reader.notice("direction", &format!("{why}, so these have no effect: {}", fields.join(", ")));
    }
}

fn read_initial_position(reader: &mut Reader<'_>) -> InitialPosition {
    #[derive(Clone, Copy)]
    enum Word {
        Latest,
        TrimHorizon,
        AtTimestamp,
    }
    let words = [("latest", Word::Latest), ("trim_horizon", Word::TrimHorizon), ("at_timestamp", Word::AtTimestamp)];
    let word = reader.one_of("initialPosition", &words).unwrap_or(Word::Latest);
    let is_given = reader.is_given("initialTimestamp");
    let moment = reader.parsed("initialTimestamp", |text| {
        let remedy = || "write it as `2026-01-31T08:00:00Z`, or as seconds or milliseconds since 1970".to_owned();
        parse_timestamp(text).ok_or_else(|| ("this is not a moment".to_owned(), remedy()))
    });
    match word {
        Word::AtTimestamp => {
            if !is_given {
                reader.fault(
                    "initialTimestamp",
                    "`at_timestamp` needs a moment",
                    "add it, such as `2026-01-31T08:00:00Z`",
                );
            }
            InitialPosition::AtTimestamp(moment.unwrap_or(Timestamp::from_millis(0)))
        }
        Word::Latest | Word::TrimHorizon if is_given => {
            let remedy = "write `initialPosition: at_timestamp`, or leave `initialTimestamp` out";
            reader.fault("initialTimestamp", "it has an effect only with `at_timestamp`", remedy);
            InitialPosition::Latest
        }
        Word::Latest => InitialPosition::Latest,
        Word::TrimHorizon => InitialPosition::TrimHorizon,
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

/// A consumer's name must be good for a registered consumer, and for a table where it names the lease table.
fn read_consumer_name(reader: &mut Reader<'_>, names_table: bool) -> Option<String> {
    if names_table {
        let lengths = *TABLE_NAME.start()..=*CONSUMER_NAME.end();
        read_name(reader, "consumerName", "a consumer name, which also names the lease table,", &lengths)
    } else {
        read_name(reader, "consumerName", "a consumer name", &CONSUMER_NAME)
    }
}

/// The default is made of allowed characters, but it may be too long. Without an app id, the shortest one is assumed.
fn check_default_consumer(reader: &mut Reader<'_>, input: &InputSide) {
    let most = match (input.mode, &input.lease_table) {
        (Mode::Extended, _) => *CONSUMER_NAME.end(),
        (Mode::Shared, None) => *TABLE_NAME.end(),
        (Mode::Shared, Some(_)) => return,
    };
    let length = default_consumer(reader.app_id().unwrap_or("x"), reader.component()).chars().count();
    if length > most {
        let problem = format!(
            "the field is missing, and its default, app id and component name, has {length} characters, more than {most}"
        );
        let (least, most) = (TABLE_NAME.start(), CONSUMER_NAME.end());
        let remedy = format!("add it, with {least} to {most} letters, digits, `_`, `.` or `-`");
        reader.fault("consumerName", problem, remedy);
    }
}
