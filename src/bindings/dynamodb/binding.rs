//! The DynamoDB component: an output side alone.

use super::super::Context;
use super::super::metadata_check::MetadataCheck;
use super::super::retry::RetryRunner;
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
    context: &Context,
) -> Result<Arc<dyn Binding>, BindingError> {
    let connection = aws::connect(&spec.connection).await?;
    let settings = ItemsSettings {
        table: spec.table,
        attempt_timeout: spec.options.trying.attempt_timeout,
        capacity: spec.options.capacity,
    };
    let items = Items::new(&connection, settings);
    let names = MetadataCheck::new(name.as_str(), KEYS);
    let output = output(items, spec.options, names, context.metrics.output(name.as_str()));
    Ok(Arc::new(DynamoDb { name, output }))
}

fn output(items: Items, options: Options, names: MetadataCheck, metrics: OutputMetrics) -> Output {
    let attempts = RetryRunner { policy: options.trying.policy, metrics };
    let offered = options.allowed.iter().copied().map(Operation::word).collect();
    Output { items, attempts, keys: Keys::new(options.key.clone()), options, offered, names }
}
