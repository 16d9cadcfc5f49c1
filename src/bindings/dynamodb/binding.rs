//! The DynamoDB component: an output side alone.

use super::super::Toolbox;
use super::super::attempts::Attempts;
use super::super::metadata_names::MetadataNames;
use super::calls::{Items, ItemsSettings};
use super::keys::Keys;
use super::operation::Operation;
use super::options::Options;
use super::output::Output;
use super::request::KEYS;
use super::spec::Spec;
use crate::aws;
use crate::domain::{Binding, BindingError, ComponentName, InputBinding, OutputBinding};
use crate::telemetry::OutputMetrics;
use async_trait::async_trait;
use std::sync::Arc;

#[derive(Debug)]
struct DynamoDb {
    name: ComponentName,
    output: Output,
}

#[async_trait]
impl Binding for DynamoDb {
    fn name(&self) -> &ComponentName {
        &self.name
    }

    fn input(&self) -> Option<&dyn InputBinding> {
        None
    }

    fn output(&self) -> Option<&dyn OutputBinding> {
        Some(&self.output)
    }

    async fn close(&self) {}
}

/// Connects the component.
///
/// # Errors
/// When region or credentials cannot be found.
pub(crate) async fn connect(
    name: ComponentName,
    spec: Spec,
    toolbox: &Toolbox,
) -> Result<Arc<dyn Binding>, BindingError> {
    let connection = aws::connect(&spec.connection).await?;
    let settings = ItemsSettings {
        table: spec.table,
        attempt_timeout: spec.options.trying.attempt_timeout,
        capacity: spec.options.capacity,
    };
    let items = Items::new(&connection, settings);
    let names = MetadataNames::new(name.as_str(), KEYS);
    let output = output(items, spec.options, names, toolbox.metrics.output(name.as_str()));
    Ok(Arc::new(DynamoDb { name, output }))
}

fn output(items: Items, options: Options, names: MetadataNames, metrics: OutputMetrics) -> Output {
    let attempts = Attempts {
        backoff: options.trying.backoff,
        most_retries: options.trying.max_retries,
        max_elapsed: options.trying.max_elapsed,
        metrics,
    };
    let offered = options.allowed.iter().copied().map(Operation::word).collect();
    Output { items, attempts, keys: Keys::new(options.key.clone()), options, offered, names }
}
