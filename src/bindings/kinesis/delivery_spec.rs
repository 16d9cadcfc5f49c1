//! The fields of an input that say how records are delivered: order, batches, formats, retries and dead letters.

use super::super::shaping::{OnError, transform_field};
use crate::consumer::{DeliverySettings, OnPoison, Order, Partial};
use crate::domain::{BodyFormat, ComponentName, Decompress, EventContentType, PartialFailures};
use crate::manifest::{Reader, parse_duration_or_seconds};
use std::path::PathBuf;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The longest retention of a stream.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Records in a request of a format for several, where the file gives no number; Lambda's default.
const DEFAULT_BATCH: usize = 100;
/// The fields that let a record be given up.
const LIMITS: [&str; 3] = ["maxAttempts", "maxRecordAge", "permanentStatus"];

/// How an input delivers its records.
#[derive(Debug, Clone)]
pub struct DeliverySpec {
    /// `order`, `concurrency…`, `max…`, `batch…`, `bisectOnError`, `permanentStatus`, `onPoison`, `appDownRelease`
    pub settings: DeliverySettings,
    /// `bodyFormat`, default `raw`.
    pub body: BodyFormat,
    /// `contentType`: default `application/json`.
    pub content_type: EventContentType,
    /// `partial`: default `lowest` for `lambda`, `exact` for `cloudevents-batch`, else `off`.
    pub partial: PartialFailures,
    /// `decompress`, default `off`.
    pub decompress: Decompress,
    /// `deadLetterBinding`, `deadLetterFolder` or both
    pub dead_letter: Option<DeadLetterTarget>,
}

/// Where records that are given up are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterTarget {
    /// Another output component, and perhaps a folder for what is too large for it.
    Binding { target: ComponentName, oversize: Option<PathBuf> },
    /// A folder of files.
    Folder(PathBuf),
}

impl DeliverySpec {
    /// `on_error` is what happens to a record on which the transform fails, if there is a transform.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        dead_letter_binding: Option<ComponentName>,
        on_error: Option<OnError>,
    ) -> Self {
        let body = read_body_format(reader);
        let mut settings = DeliverySettings::default();
        read_order(reader, &mut settings);
        read_limits(reader, &mut settings);
        read_batches(reader, body, &mut settings);
        read_giving_up(reader, &mut settings);
        let dead_letter = read_dead_letter(reader, dead_letter_binding, on_error);
        read_on_poison(reader, &mut settings, on_error);
        let app_down = reader.duration("appDownRelease", SECOND..=24 * 60 * MINUTE);
        settings.app_down_release = app_down;
        let partial = read_partial(reader, body);
        settings.partial = match partial {
            PartialFailures::Exact => Partial::Exact,
            PartialFailures::Lowest | PartialFailures::Off => Partial::Lowest,
        };
        Self {
            settings,
            body,
            content_type: read_content_type(reader, body),
            partial,
            decompress: read_decompress(reader),
            dead_letter,
        }
    }

    /// Whether records of a partition key are delivered in their order, but those of a shard are not.
    #[must_use]
    pub const fn keeps_order_by_key(&self) -> bool {
        matches!(self.settings.order, Order::Key)
    }

    /// Whether a record may be given up without a Resiliency policy.
    #[must_use]
    pub const fn gives_up(&self) -> bool {
        let DeliverySettings { max_attempts, max_record_age, permanent_statuses, .. } = &self.settings;
        max_attempts.is_some() || max_record_age.is_some() || !permanent_statuses.is_empty()
    }

    /// Notices of a component that is only an input: there, a dead letter binding may have no effect without a limit.
    pub(super) fn check_dead_letter(&self, reader: &mut Reader<'_>, on_error: Option<OnError>) {
        if matches!(self.dead_letter, Some(DeadLetterTarget::Binding { .. })) {
            notice_limit(reader, "deadLetterBinding", on_error);
        }
    }

    /// A notice of a transform whose failure stops a key, because the file says nothing else.
    pub(super) fn notice_halting_transform(&self, reader: &mut Reader<'_>, on_error: Option<OnError>) {
        let Some(field) = transform_field(reader).filter(|_| on_error == Some(OnError::Fail)) else { return };
        if self.dead_letter.is_none() && !reader.is_given("onPoison") {
            let text = "a record of the input on which it fails stops the later records of its key until the program or the \
                        file is changed; add `deadLetterFolder` or `deadLetterBinding`, or say what happens with \
                        `transformOnError` or `onPoison`; write `direction: output` if only the output is used";
            reader.notice(field, text);
        }
    }
}

fn read_body_format(reader: &mut Reader<'_>) -> BodyFormat {
    let words = [
        ("raw", BodyFormat::Raw),
        ("lambda", BodyFormat::Lambda),
        ("cloudevents", BodyFormat::CloudEvent),
        ("cloudevents-batch", BodyFormat::CloudEventBatch),
        ("ndjson", BodyFormat::NdJson),
    ];
    reader.one_of("bodyFormat", &words).unwrap_or_default()
}

fn read_order(reader: &mut Reader<'_>, settings: &mut DeliverySettings) {
    let words = [("key", Order::Key), ("shard", Order::Shard), ("none", Order::None)];
    settings.order = reader.one_of("order", &words).unwrap_or_default();
    let per_shard = count(reader, "concurrencyPerShard", 1_000);
    if settings.order == Order::Shard && per_shard.is_some_and(|count| count > 1) {
        let problem = "`order: shard` delivers one request of a shard after the other";
        reader.fault("concurrencyPerShard", problem, "leave one of them out, or write `order: key`");
    }
    settings.concurrency_per_shard = per_shard.unwrap_or(settings.concurrency_per_shard);
    settings.concurrency = count(reader, "concurrency", 100_000).unwrap_or(settings.concurrency);
}

fn read_limits(reader: &mut Reader<'_>, settings: &mut DeliverySettings) {
    settings.max_in_flight_records =
        count(reader, "maxInFlightRecords", 1_000_000).unwrap_or(settings.max_in_flight_records);
    settings.max_buffered_bytes =
        reader.size("maxBufferedBytes", 64 * KIB..=64 << 30).unwrap_or(settings.max_buffered_bytes);
}

fn read_batches(reader: &mut Reader<'_>, body: BodyFormat, settings: &mut DeliverySettings) {
    let size = count(reader, "batchSize", 10_000);
    let bytes = reader.size("batchBytes", KIB..=64 * MIB);
    let window = reader.duration("batchWindow", Duration::ZERO..=5 * MINUTE);
    let bisects = reader.boolean("bisectOnError").unwrap_or(false);
    settings.batch_size = size.unwrap_or(if body.is_batch() { DEFAULT_BATCH } else { 1 });
    settings.batch_bytes = bytes.unwrap_or(settings.batch_bytes);
    settings.batch_window = window.unwrap_or_default();
    settings.bisect_on_error = bisects;
    let is_batched = body.is_batch() && settings.batch_size > 1;
    let given = [
        ("batchSize", !body.is_batch() && size.is_some_and(|size| size > 1)),
        ("batchBytes", !is_batched && bytes.is_some()),
        ("batchWindow", !is_batched && !settings.batch_window.is_zero()),
        ("bisectOnError", !is_batched && bisects),
    ];
    for (field, _) in given.into_iter().filter(|(_, is_useless)| *is_useless) {
        let (problem, remedy) = if body.is_batch() {
            ("it has no effect with `batchSize: 1`", "raise `batchSize`, or leave it out")
        } else {
            let remedy = "write `bodyFormat: lambda`, `cloudevents-batch` or `ndjson`, or leave it out";
            ("a request of this `bodyFormat` carries one record", remedy)
        };
        reader.fault(field, problem, remedy);
    }
    if settings.batch_size > settings.max_in_flight_records {
        reader.fault("batchSize", "it is above `maxInFlightRecords`, so no batch can be full", "lower it");
    }
    if bytes.is_some_and(|bytes| bytes > settings.max_buffered_bytes) {
        reader.fault("batchBytes", "it is above `maxBufferedBytes`, so no batch can be full", "lower it");
    }
}

fn read_giving_up(reader: &mut Reader<'_>, settings: &mut DeliverySettings) {
    settings.max_attempts = reader.parsed("maxAttempts", parse_attempts).flatten();
    settings.max_record_age = reader.parsed("maxRecordAge", parse_age).flatten();
    settings.permanent_statuses = reader.parsed("permanentStatus", parse_statuses).unwrap_or_default();
}

fn parse_attempts(text: &str) -> Result<Option<u32>, (String, String)> {
    match text.trim() {
        "-1" => Ok(None),
        count => match count.parse() {
            Ok(count) if count > 0 => Ok(Some(count)),
            Ok(_) | Err(_) => {
                let remedy = "write how often a record is delivered at most, from 1; -1 is no limit";
                Err(("this is not a number of attempts".to_owned(), remedy.to_owned()))
            }
        },
    }
}

fn parse_age(text: &str) -> Result<Option<Duration>, (String, String)> {
    let text = text.trim();
    if text == "-1" {
        return Ok(None);
    }
    let remedy = || "write one from 1s to 8760h, such as `1h`; -1 is no limit".to_owned();
    match parse_duration_or_seconds(text) {
        Ok(age) if (SECOND..=YEAR).contains(&age) => Ok(Some(age)),
        Ok(_) => Err(("it is out of range".to_owned(), remedy())),
        Err(error) => Err((error.to_string(), remedy())),
    }
}

/// Statuses that say "later" cannot be permanent, and neither can a success.
fn parse_statuses(text: &str) -> Result<Vec<u16>, (String, String)> {
    let wrong = |part: &str, problem: &str| {
        let remedy = "write statuses from 300 to 599 except 429 and 503, separated by commas, such as `409,410,422`";
        Err((format!("`{part}` {problem}"), remedy.to_owned()))
    };
    let mut statuses = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.parse() {
            Ok(429 | 503) => return wrong(part, "asks for a later attempt"),
            Ok(status @ 300..=599) => {
                if !statuses.contains(&status) {
                    statuses.push(status);
                }
            }
            Ok(_) | Err(_) if part.is_empty() => return wrong(text, "has an empty entry between or after its commas"),
            Ok(_) | Err(_) => return wrong(part, "is not the status of a refusal"),
        }
    }
    Ok(statuses)
}

fn read_dead_letter(
    reader: &mut Reader<'_>,
    binding: Option<ComponentName>,
    on_error: Option<OnError>,
) -> Option<DeadLetterTarget> {
    let folder = reader.text("deadLetterFolder").map(PathBuf::from);
    if reader.is_given("deadLetterFolder") {
        notice_limit(reader, "deadLetterFolder", on_error);
    }
    match binding {
        Some(target) => Some(DeadLetterTarget::Binding { target, oversize: folder }),
        None => folder.map(DeadLetterTarget::Folder),
    }
}

/// `deadLetterBinding`, which serves both sides of a component.
pub(super) fn read_dead_letter_binding(reader: &mut Reader<'_>) -> Option<ComponentName> {
    reader.parsed("deadLetterBinding", |text| {
        let remedy = || "write the `metadata.name` of another output component".to_owned();
        text.parse().map_err(|_| ("this is not the name of a component".to_owned(), remedy()))
    })
}

fn read_on_poison(reader: &mut Reader<'_>, settings: &mut DeliverySettings, on_error: Option<OnError>) {
    let words =
        [("halt-key", OnPoison::HaltKey), ("halt-shard", OnPoison::HaltShard), ("drop-counted", OnPoison::Drop)];
    settings.on_poison = reader.one_of("onPoison", &words).unwrap_or_default();
    if !reader.is_given("onPoison") {
        let has_target = reader.is_given("deadLetterBinding") || reader.is_given("deadLetterFolder");
        if settings.max_record_age.is_some() && !has_target {
            let problem = "the key of a record that is too old would halt, though nothing failed";
            let remedy = "add `deadLetterFolder` or `deadLetterBinding`, or write what happens with `onPoison`";
            reader.fault("maxRecordAge", problem, remedy);
        }
        return;
    }
    if let Some(field) = ["deadLetterBinding", "deadLetterFolder"].into_iter().find(|field| reader.is_given(field)) {
        let problem = format!("it has no effect with `{field}`, which stores the records that are given up");
        reader.fault("onPoison", problem, "leave one of them out");
    } else if !gives_up(reader, on_error) {
        let remedy = "add `maxAttempts`, `maxRecordAge` or `permanentStatus`, or leave it out";
        reader.fault("onPoison", "it has no effect, because no record is ever given up", remedy);
    }
}

/// Whether the file has a reason to give a record up.
fn gives_up(reader: &Reader<'_>, on_error: Option<OnError>) -> bool {
    let by_transform = match on_error {
        Some(OnError::Fail | OnError::DeadLetter) => true,
        Some(OnError::Passthrough | OnError::DropCounted) | None => false,
    };
    by_transform || LIMITS.iter().any(|limit| reader.is_given(limit))
}

/// Not a fault: a Resiliency policy gives records up, too, and may come later.
fn notice_limit(reader: &mut Reader<'_>, field: &'static str, on_error: Option<OnError>) {
    if gives_up(reader, on_error) {
        return;
    }
    // Any other transform gives records up.
    let transform = match on_error {
        Some(_) => ", and with this `transformOnError` the transform gives no record up",
        None => "",
    };
    let text = format!(
        "it has an effect only with a retry policy of a Resiliency document, because the file itself has no \
         limit{transform}; add `maxAttempts`, `maxRecordAge` or `permanentStatus` to give records up without one"
    );
    reader.notice(field, &text);
}

fn read_content_type(reader: &mut Reader<'_>, body: BodyFormat) -> EventContentType {
    let content_type = reader.parsed("contentType", |text| match text.trim() {
        "auto" => Ok(EventContentType::Auto),
        text if is_media_type(text) => Ok(EventContentType::Fixed(text.into())),
        _ => Err(("this is not a media type".to_owned(), "write `auto`, or one such as `application/avro`".to_owned())),
    });
    if body != BodyFormat::Raw && reader.is_given("contentType") {
        let remedy = "leave it out, or write `bodyFormat: raw`";
        reader.fault("contentType", "the `bodyFormat` has its own content type", remedy);
    }
    content_type.unwrap_or_default()
}

/// `type/subtype`, perhaps with parameters, in what a header may contain (RFC 9110, section 8.3.1).
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_token = |part: &str| {
        let is_in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(is_in_token)
    };
    let is_shown = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    is_shown && essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

fn read_partial(reader: &mut Reader<'_>, body: BodyFormat) -> PartialFailures {
    let words = [("lowest", PartialFailures::Lowest), ("exact", PartialFailures::Exact), ("off", PartialFailures::Off)];
    let partial = reader.one_of("partial", &words);
    if !body.is_batch() && reader.is_given("partial") {
        let remedy = "write `bodyFormat: lambda`, `cloudevents-batch` or `ndjson`, or leave it out";
        reader.fault("partial", "a request of this `bodyFormat` carries one record", remedy);
        return PartialFailures::Off;
    }
    partial.unwrap_or(match body {
        BodyFormat::Lambda => PartialFailures::Lowest,
        BodyFormat::CloudEventBatch => PartialFailures::Exact,
        // Lines have no ids, so an app has to know that their numbers are meant.
        BodyFormat::NdJson | BodyFormat::Raw | BodyFormat::CloudEvent => PartialFailures::Off,
    })
}

fn read_decompress(reader: &mut Reader<'_>) -> Decompress {
    let words = [("off", Decompress::Off), ("gzip", Decompress::Gzip), ("auto", Decompress::Auto)];
    reader.one_of("decompress", &words).unwrap_or_default()
}

fn count(reader: &mut Reader<'_>, name: &'static str, max: u64) -> Option<usize> {
    reader.number(name, 1..=max).and_then(|count| usize::try_from(count).ok())
}
