//! From a checked component to a connected one. Checking was pure; this may touch the world.

use super::{Checked, Spec, Toolbox, dynamodb, kinesis};
use crate::domain::{Binding, BindingError, FailureKind};
use std::sync::Arc;

/// Connects one component under its `initTimeout`.
///
/// # Errors
/// When the component cannot be connected, or not in time.
pub async fn connect(mut checked: Checked, toolbox: &Toolbox) -> Result<Arc<dyn Binding>, BindingError> {
    let limit = checked.init_timeout;
    let metrics = toolbox.metrics.credentials(checked.name.as_str());
    let connection = checked.connection_mut();
    connection.metrics = Some(metrics);
    if connection.ca_bundle.is_none() {
        connection.ca_bundle.clone_from(&toolbox.ca_bundle);
    }
    let named = format!("{} ({}/{})", checked.name, checked.type_name, checked.version);
    let connecting = async {
        match checked.spec {
            Spec::Kinesis(spec) => kinesis::connect(checked.name, *spec, toolbox).await,
            Spec::DynamoDb(spec) => dynamodb::connect(checked.name, *spec, toolbox).await,
        }
    };
    tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| {
        let advice = "raise `initTimeout` or check that credentials and region can be found";
        Err(BindingError::new(
            FailureKind::TimedOut,
            format!("init timeout for component {named} after {limit:?}: {advice}"),
        ))
    })
}
