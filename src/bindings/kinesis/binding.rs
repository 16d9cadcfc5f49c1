//! Connects a Kinesis component: its input, its output, or both.

use super::super::Context;
use super::super::dead_letter::{BindingStore, DeadLetter, FolderStore, OversizeStore};
use super::super::metadata_check::MetadataCheck;
use super::super::shaping::{RunPlace, Shaper};
use super::super::sides::Sides;
use super::compressed_writer::CompressedWriter;
use super::delivery_spec::DeadLetterTarget;
use super::flush::FlushCondition;
use super::input::Input;
use super::input_shaping::{ENCODED, InputShaping};
use super::output::Output;
use super::payload::Compression;
use super::record_programs::RecordPrograms;
use super::request::KEYS;
use super::spec::Spec;
use crate::aws::kinesis::{Directory, Writer};
use crate::aws::{self, Connection, ConnectionSettings, Partition};
use crate::consumer::{InputStatus, RecordShaping};
use crate::domain::{
    Binding, BindingError, BodyFormat, ComponentName, DeadLetterStore, EventSource, RecordWriter, WorkerId,
};
use crate::producer::{Ports, Producer, ProducerSettings};
use crate::telemetry::{LogLimit, ShapedSide};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Connects the sides that the file enables.
///
/// # Errors
/// When region or credentials cannot be found.
pub(crate) async fn connect(
    name: ComponentName,
    spec: Spec,
    context: &Context,
) -> Result<Arc<dyn Binding>, BindingError> {
    let connection = aws::connect(&spec.connection).await?;
    let mut sides = Sides { name: name.clone(), connection: Some(connection.clone()), input: None, output: None };
    if spec.direction.has_output() {
        sides.output = Some(Box::new(output(&name, &spec, &connection, context)));
    }
    if spec.direction.has_input() {
        sides.input = Some(Box::new(input(&name, &spec, &connection, context).await?));
    }
    Ok(Arc::new(sides))
}

fn output(name: &ComponentName, spec: &Spec, connection: &Connection, context: &Context) -> Output {
    let metrics = context.metrics.output(name.as_str());
    let attempt_timeout = spec.output.producer.attempt_timeout;
    let settings = producer_settings(spec, fastrand::u64(..));
    // With its own connection limit a call never waits for the input or for a listing.
    let writer = Writer::new(&connection.with_own_call_limit(), spec.stream.clone(), attempt_timeout);
    let ports = Ports {
        writer: compressed(writer, spec),
        directory: Some(Arc::new(Directory::new(connection, spec.stream.clone()))),
        metrics: metrics.clone(),
    };
    let dead_letter = spec.output.dead_letter.clone().map(|target| DeadLetter {
        component: name.clone(),
        target,
        registry: context.registry.clone(),
        metrics: metrics.clone(),
    });
    Output {
        producer: Producer::start_after(settings, ports, context.successions.enter(name.as_str())),
        spec: spec.output.clone(),
        programs: RecordPrograms::new(&spec.output),
        flush: spec.output.flush.as_ref().map(|_| FlushCondition::new(metrics.clone())),
        shaper: spec.shaping.clone().map(|shaping| {
            let metrics = context.metrics.shaping(name.as_str(), ShapedSide::Output);
            Shaper::new(name.as_str(), shaping, context.bodies.clone(), metrics)
        }),
        dead_letter,
        metrics,
        metadata_check: MetadataCheck::new(name.as_str(), KEYS),
    }
}

/// The writer, which compresses what the callers cannot: records that are joined.
fn compressed(writer: Writer, spec: &Spec) -> Arc<dyn RecordWriter> {
    match (spec.output.join_form(), spec.output.compression) {
        (None, _) | (_, Compression::None) => Arc::new(writer),
        (Some(_), compression @ Compression::Gzip) => Arc::new(CompressedWriter { writer, compression }),
    }
}

/// The producer's settings, adapted to a writer that limits the time of its calls itself.
fn producer_settings(spec: &Spec, seed: u64) -> ProducerSettings {
    let settings = spec.output.producer.clone();
    let connections = spec.connection.max_connections.map_or(usize::MAX, NonZeroUsize::get);
    ProducerSettings {
        seed,
        // A record that cannot get a connection waits in the queue instead, where it is known as unsent.
        max_in_flight: settings.max_in_flight.min(connections),
        // Ends only a writer that hangs: the writer may wait for a connection, call, and call again with new credentials.
        attempt_timeout: settings.attempt_timeout * 3 + Duration::from_secs(1),
        ..settings
    }
}

async fn input(
    name: &ComponentName,
    spec: &Spec,
    connection: &Connection,
    context: &Context,
) -> Result<Input, BindingError> {
    let consumer = spec.input.consumer(&context.app_id, name);
    let lease_table = spec.input.lease_table(&consumer).to_owned();
    // Inputs whose direction is explicit reserve their table at connect, before those whose app is still to be probed.
    let reservation = match spec.direction.needs_probe() {
        true => None,
        false => Some(context.lease_tables.reserve(&lease_table, name)?),
    };
    let lease_connection = match &spec.input.lease_endpoint {
        Some(endpoint) => {
            aws::connect(&ConnectionSettings { endpoint: Some(endpoint.clone()), ..spec.connection.clone() }).await?
        }
        None => connection.clone(),
    };
    Ok(Input {
        binding: name.clone(),
        connection: connection.clone(),
        stream: spec.stream.clone(),
        spec: spec.input.clone(),
        lease_table,
        lease_tables: context.lease_tables.clone(),
        reservation: Mutex::new(reservation),
        lease_connection,
        consumer,
        shaping: shaping(name, spec, context),
        limits: context.limits.clone(),
        source: event_source(spec, connection),
        dead_letters: dead_letters(spec, context).await?,
        drain_limits: context.drain_limits,
        // Each input is its own worker, because each has its own leases.
        worker: WorkerId::new(format!("{}/{name}", context.worker)),
        stream_state: Arc::default(),
        status: InputStatus::default(),
        fallback: Mutex::default(),
        metrics: context.metrics.input(name.as_str()),
        read_metrics: context.metrics.reads(name.as_str()),
    })
}

/// What the input does with records before the app receives them.
fn shaping(name: &ComponentName, spec: &Spec, context: &Context) -> RecordShaping {
    let Some(shaping) = spec.shaping.clone() else { return RecordShaping::default() };
    let shaping = InputShaping {
        shaping,
        decompress: spec.input.delivery.decompress,
        memory: context.shaping_memory.clone(),
        copies: if spec.input.delivery.body == BodyFormat::Raw { 1 } else { ENCODED },
        component: name.to_string(),
        stream: spec.stream.name().to_owned(),
        place: RunPlace::default(),
        metrics: context.metrics.input(name.as_str()),
        log: LogLimit::default(),
    };
    shaping.for_consumer(context.metrics.shaping(name.as_str(), ShapedSide::Input))
}

/// Where the input keeps records that it gives up.
async fn dead_letters(spec: &Spec, context: &Context) -> Result<Option<Arc<dyn DeadLetterStore>>, BindingError> {
    match &spec.input.delivery.dead_letter {
        None => Ok(None),
        Some(DeadLetterTarget::Binding { target, oversize }) => {
            let binding = BindingStore::new(target.clone(), context.registry.clone());
            match oversize {
                None => Ok(Some(Arc::new(binding))),
                Some(folder) => {
                    Ok(Some(Arc::new(OversizeStore::new(binding, FolderStore::open(folder.clone()).await?))))
                }
            }
        }
        Some(DeadLetterTarget::Folder(folder)) => Ok(Some(Arc::new(FolderStore::open(folder.clone()).await?))),
    }
}

/// What events say about the stream until its ARN is known. An ARN without account is valid for those that parse it.
fn event_source(spec: &Spec, connection: &Connection) -> EventSource {
    let region = spec.stream.region().or(connection.region()).unwrap_or_default();
    let partition = Partition::from_region(region).unwrap_or(Partition::Aws).as_str();
    let arn = match spec.stream.arn() {
        Some(arn) => arn.to_owned(),
        None => format!("arn:{partition}:kinesis:{region}::stream/{}", spec.stream.name()),
    };
    let role = spec.connection.identity.roles.last().map_or("", String::as_str);
    EventSource { region: region.into(), stream_arn: arn.into(), identity_arn: role.into() }
}
