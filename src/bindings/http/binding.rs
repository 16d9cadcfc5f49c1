//! The HTTP component: it has an output side only.

use super::super::sides::Sides;
use super::client::{Client, Limits};
use super::output::Output;
use super::spec::Spec;
use super::target;
use crate::domain::{Binding, BindingError, BodyMemory, ComponentName, FailureKind};
use std::sync::Arc;

/// Reads certificates and proxies; the endpoint is not contacted.
///
/// # Errors
/// When a certificate or key cannot be used.
pub(crate) async fn connect(
    name: ComponentName,
    spec: Spec,
    memory: &BodyMemory,
) -> Result<Arc<dyn Binding>, BindingError> {
    let client = client(&spec).await?.with_memory(memory);
    Ok(Sides::of_output(name, Output { spec, client }))
}

/// Opens a connection to the endpoint and sends nothing. Returns the endpoint without its path, which may be a secret.
///
/// # Errors
/// When a certificate cannot be used, or there is no connection.
pub(crate) async fn probe(spec: &Spec) -> Result<(), BindingError> {
    let url = target::parse(&spec.url).map_err(|problem| BindingError::new(FailureKind::Caller, problem))?;
    client(spec).await?.probe(&url).await
}

async fn client(spec: &Spec) -> Result<Client, BindingError> {
    let limits = Limits { max_connections: spec.max_connections, max_response: spec.max_response };
    let secret = spec.security.as_ref().map(|(name, _)| name.clone());
    Client::load(spec.tls.clone(), limits, secret).await
}
