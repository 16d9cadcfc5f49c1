//! The DynamoDB component: an output side alone.

use super::super::Toolbox;
use super::super::attempts::Attempts;
use super::output::{BACKOFF, Output};
use super::spec::Spec;
use crate::aws;
use crate::aws::dynamodb::Items;
use crate::domain::{Binding, BindingError, ComponentName, InputBinding, OutputBinding};
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
    let output = Output {
        items: Items::new(&connection, spec.table),
        attempts: Attempts {
            limit: spec.request_timeout,
            backoff: BACKOFF,
            metrics: toolbox.metrics.output(name.as_str()),
        },
    };
    Ok(Arc::new(DynamoDb { name, output }))
}
