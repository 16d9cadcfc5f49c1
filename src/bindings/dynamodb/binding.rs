//! The DynamoDB component: it has an output side only.

use super::super::Context;
use super::super::metadata_check::MetadataCheck;
use super::super::retry::RetryRunner;
use super::super::shaping::Shaper;
use super::super::sides::Sides;
use super::context::TableContext;
use super::output::Output;
use super::request::METADATA_KEYS;
use super::spec::Spec;
use super::table_key::KeyCache;
use crate::aws;
use crate::domain::{Binding, BindingError, ComponentName};
use crate::telemetry::ShapedSide;
use std::sync::Arc;

/// Connects the component; DynamoDB is not contacted yet.
///
/// # Errors
/// When region or credentials cannot be found.
pub(crate) async fn connect(
    name: ComponentName,
    spec: Spec,
    process: &Context,
) -> Result<Arc<dyn Binding>, BindingError> {
    let Spec { table, connection, options, shaping, .. } = spec;
    let connection = aws::connect(&connection).await?;
    let metrics = process.metrics.output(name.as_str());
    let shaper = shaping.map(|shaping| {
        let metrics = process.metrics.shaping(name.as_str(), ShapedSide::Output);
        Shaper::new(name.as_str(), shaping, process.bodies.clone(), metrics)
    });
    let shaper = shaper.map(Arc::new);
    let runner = RetryRunner { policy: options.retry.policy, metrics };
    let offered = options.allowed.iter().copied().map(|operation| operation.as_str().into()).collect();
    let metadata_check = MetadataCheck::new(name.as_str(), METADATA_KEYS);
    let client = connection.dynamodb_within(options.retry.attempt_timeout);
    let keys = Arc::new(KeyCache::new(options.key.clone()));
    let context = TableContext { connection: connection.clone(), client, table, options, runner, keys, shaper };
    let output = Output { single_attempt: context.single_attempt(), context, offered, metadata_check };
    Ok(Arc::new(Sides { name, connection: Some(connection), input: None, output: Some(Box::new(output)) }))
}
