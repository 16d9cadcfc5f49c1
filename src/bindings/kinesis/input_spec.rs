//! The fields of the input side of a `bindings.aws.kinesis` file, read and checked.

use super::super::fields::{read_endpoint, read_name, read_route};
use super::super::shaping::OnError;
use super::delivery_spec::DeliverySpec;
use super::timestamp::parse_timestamp;
use crate::aws::kinesis::{DEFAULT_POLL_INTERVAL, POLL_INTERVALS};
use crate::consumer::{OnGap, OnInvalidCheckpoint};
use crate::domain::{ComponentName, InitialPosition, Timestamp};
use crate::manifest::Reader;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The lengths of `RegisterStreamConsumer.ConsumerName`.
const CONSUMER_NAME: RangeInclusive<usize> = 1..=128;
/// The lengths of `CreateTable.TableName`.
const TABLE_NAME: RangeInclusive<usize> = 3..=255;
const DEFAULT_LEASE: Duration = Duration::from_secs(10);
const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// How records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `shared`: by polling, within the stream's shared read throughput.
    #[default]
    Shared,
    /// `extended`: enhanced fan-out, with a registered consumer.
    Extended,
}

impl Mode {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Extended => "extended",
        }
    }
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
    /// `adoptDaprCheckpoints`: the lease table of daprd, whose positions are taken over at the start.
    pub dapr_table: Option<String>,
    /// `leaseEndpoint`: endpoint of the lease table where it is not `endpoint`, for emulators with one port per service.
    pub lease_endpoint: Option<String>,
    /// `checkpointInterval`: how long accepted records wait for their checkpoint. 100 ms to 1 min, default 1 s.
    pub checkpoint_interval: Duration,
    /// `onGap`, default `continue`.
    pub on_gap: OnGap,
    /// `onInvalidCheckpoint`, default `trim_horizon`.
    pub on_invalid_checkpoint: OnInvalidCheckpoint,
    /// How records are delivered.
    pub delivery: DeliverySpec,
}

impl InputSpec {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        dead_letter_binding: Option<ComponentName>,
        on_error: Option<OnError>,
    ) -> Self {
        let lease = Duration::from_millis(500)..=Duration::from_secs(3_600);
        let adopts = reader.boolean("adoptDaprCheckpoints") == Some(true);
        let names_table = !reader.is_given("leaseTable") && !adopts;
        let mut spec = Self {
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
            dapr_table: None,
            lease_endpoint: read_endpoint(reader, "leaseEndpoint"),
            checkpoint_interval: reader
                .duration("checkpointInterval", Duration::from_millis(100)..=Duration::from_secs(60))
                .unwrap_or(DEFAULT_CHECKPOINT_INTERVAL),
            on_gap: reader.one_of("onGap", &[("continue", OnGap::Continue), ("halt", OnGap::Halt)]).unwrap_or_default(),
            on_invalid_checkpoint: read_on_invalid_checkpoint(reader),
            delivery: DeliverySpec::read(reader, dead_letter_binding, on_error),
        };
        if adopts {
            spec.read_adoption(reader);
        }
        spec.notice_mode(reader);
        spec
    }

    /// daprd names its table as the consumer, and that table has another key. So the own one needs another name.
    fn read_adoption(&mut self, reader: &mut Reader<'_>) {
        let Some(consumer) = self.consumer_name.clone() else {
            if !reader.is_given("consumerName") {
                let remedy = "add the `consumerName` that daprd has used, which names its lease table";
                reader.fault("adoptDaprCheckpoints", "it needs `consumerName`", remedy);
            }
            return;
        };
        let table = self.lease_table.get_or_insert_with(|| format!("{consumer}-bindd"));
        if *table == consumer {
            let problem = "it is the name of daprd's lease table, which has another format";
            reader.fault("leaseTable", problem, "choose another name, or leave it out");
        }
        self.dapr_table = Some(consumer);
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

fn read_on_invalid_checkpoint(reader: &mut Reader<'_>) -> OnInvalidCheckpoint {
    let words = [
        ("trim_horizon", OnInvalidCheckpoint::TrimHorizon),
        ("halt", OnInvalidCheckpoint::Halt),
        ("latest", OnInvalidCheckpoint::Latest),
    ];
    reader.one_of("onInvalidCheckpoint", &words).unwrap_or_default()
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

/// The name must be valid for a registered consumer and, where it names the lease table, for a table too.
fn read_consumer_name(reader: &mut Reader<'_>, names_table: bool) -> Option<String> {
    if names_table {
        let lengths = *TABLE_NAME.start()..=*CONSUMER_NAME.end();
        read_name(reader, "consumerName", "a consumer name, which also names the lease table,", &lengths)
    } else {
        read_name(reader, "consumerName", "a consumer name", &CONSUMER_NAME)
    }
}

/// The default has only allowed characters, but it may be too long, or, with an empty app id, too
/// short for a table. An unknown app id counts as one character.
pub(super) fn check_default_consumer(reader: &mut Reader<'_>, input: &InputSpec) {
    let max = match (input.mode, &input.lease_table) {
        (Mode::Extended, _) => *CONSUMER_NAME.end(),
        (Mode::Shared, None) => *TABLE_NAME.end(),
        (Mode::Shared, Some(_)) => return,
    };
    let min = if input.lease_table.is_none() { *TABLE_NAME.start() } else { *CONSUMER_NAME.start() };
    let length = default_consumer(reader.app_id().unwrap_or("x"), reader.component()).chars().count();
    let wrong = if length > max { Some(("more", max)) } else { Some(("fewer", min)).filter(|_| length < min) };
    if let Some((relation, bound)) = wrong {
        let problem = format!(
            "the field is missing, and its default (app id and component name) has {length} characters, {relation} than \
             {bound}"
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
