//! Both sides of a Kinesis component, joined.

use super::super::Toolbox;
use super::super::dead_letter::DeadLetter;
use super::super::metadata_names::MetadataNames;
use super::input::{Input, default_consumer};
use super::output::Output;
use super::request::KEYS;
use super::spec::Spec;
use crate::aws::kinesis::{Directory, Writer};
use crate::aws::{self, Connection, ConnectionSettings};
use crate::domain::{Binding, BindingError, ComponentName, InputBinding, OutputBinding, WorkerId};
use crate::producer::{Ports, Producer, ProducerSettings};
use async_trait::async_trait;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
struct Kinesis {
    name: ComponentName,
    input: Option<Input>,
    output: Option<Output>,
}

#[async_trait]
impl Binding for Kinesis {
    fn name(&self) -> &ComponentName {
        &self.name
    }

    fn input(&self) -> Option<&dyn InputBinding> {
        self.input.as_ref().map(|input| input as &dyn InputBinding)
    }

    fn output(&self) -> Option<&dyn OutputBinding> {
        self.output.as_ref().map(|output| output as &dyn OutputBinding)
    }

    async fn close(&self) {
        if let Some(output) = &self.output {
            output.producer.close().await;
        }
    }
}

/// Connects the sides that the file asks for.
///
/// # Errors
/// When region or credentials cannot be found.
pub(crate) async fn connect(
    name: ComponentName,
    spec: Spec,
    toolbox: &Toolbox,
) -> Result<Arc<dyn Binding>, BindingError> {
    let connection = aws::connect(&spec.connection).await?;
    let output = spec.direction.has_output().then(|| output(&name, &spec, &connection, toolbox));
    let input = match spec.direction.has_input() {
        true => Some(input(&name, &spec, &connection, toolbox).await?),
        false => None,
    };
    Ok(Arc::new(Kinesis { name, input, output }))
}

fn output(name: &ComponentName, spec: &Spec, connection: &Connection, toolbox: &Toolbox) -> Output {
    let metrics = toolbox.metrics.output(name.as_str());
    let attempt_timeout = spec.output.producer.attempt_timeout;
    let settings = bounded(spec, fastrand::u64(..));
    let ports = Ports {
        // With places of its own a call never waits for the input's or for a listing: the engine opens no more of them.
        writer: Arc::new(Writer::new(&connection.with_own_call_limit(), spec.stream.clone(), attempt_timeout)),
        directory: Some(Arc::new(Directory::new(connection, spec.stream.clone()))),
        metrics: metrics.clone(),
    };
    let dead_letter = spec.output.dead_letter.clone().map(|target| DeadLetter {
        component: name.clone(),
        target,
        peers: toolbox.peers.clone(),
        metrics: metrics.clone(),
    });
    Output {
        producer: Producer::start(settings, ports),
        spec: spec.output.clone(),
        dead_letter,
        metrics,
        names: MetadataNames::new(name.as_str(), KEYS),
    }
}

/// The engine's settings, fitted to a writer that bounds its calls itself and knows which of them left.
fn bounded(spec: &Spec, seed: u64) -> ProducerSettings {
    let settings = spec.output.producer.clone();
    let places = spec.connection.max_connections.map_or(usize::MAX, NonZeroUsize::get);
    ProducerSettings {
        seed,
        // Records that would only wait for a place among the open calls wait in the queue, where they are known as unsent.
        max_in_flight: settings.max_in_flight.min(places),
        // Only for a writer that hangs: it may wait for a place, call, and call again with other credentials.
        attempt_timeout: settings.attempt_timeout * 3 + Duration::from_secs(1),
        ..settings
    }
}

async fn input(
    name: &ComponentName,
    spec: &Spec,
    connection: &Connection,
    toolbox: &Toolbox,
) -> Result<Input, BindingError> {
    let consumer = spec.consumer_name.clone().unwrap_or_else(|| default_consumer(&toolbox.app_id, name));
    let lease_table = spec.lease_table.clone().unwrap_or_else(|| consumer.clone());
    // An input that is certainly read goes before those whose app is still to be asked.
    if !spec.direction.needs_probe() {
        toolbox.lease_tables.reserve(&lease_table, name)?;
    }
    let lease_connection = match &spec.lease_endpoint {
        Some(endpoint) => {
            aws::connect(&ConnectionSettings { endpoint: Some(endpoint.clone()), ..spec.connection.clone() }).await?
        }
        None => connection.clone(),
    };
    Ok(Input {
        binding: name.clone(),
        connection: connection.clone(),
        stream: spec.stream.clone(),
        mode: spec.mode,
        lease_table,
        lease_tables: toolbox.lease_tables.clone(),
        lease_connection,
        consumer,
        initial_position: spec.initial_position,
        lease_duration: spec.lease_duration,
        drain_limit: toolbox.drain_limit,
        // Each input is a worker of its own.
        worker: WorkerId::new(format!("{}/{name}", toolbox.worker)),
        stream_state: Arc::default(),
        metrics: toolbox.metrics.input(name.as_str()),
    })
}
