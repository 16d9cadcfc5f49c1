//! Opens a secret store by its type.

use super::kubernetes::{Kubernetes, KubernetesSpec};
use super::parameter_store::{ParameterStore, ParameterStoreSpec};
use super::secrets_manager::{SecretsManager, SecretsManagerSpec};
use super::service_account::ServiceAccount;
use super::store::SecretStore;
use crate::aws::ConnectionSettings;
use crate::manifest::{Document, Faults, Notice, PARAMETER_STORE, Reader, SECRETS_MANAGER};
use std::path::Path;
use std::sync::Arc;

/// Checks the fields of a store's document.
pub(in super::super) fn check(document: &Document) -> (Faults, Vec<Notice>) {
    let mut reader = Reader::new(document);
    let kind = document.component_type.to_lowercase();
    match kind.as_str() {
        SECRETS_MANAGER => drop(SecretsManagerSpec::read(&mut reader)),
        PARAMETER_STORE => drop(ParameterStoreSpec::read(&mut reader)),
        _ => drop(KubernetesSpec::read(&mut reader)),
    }
    reader.finish()
}

/// Opens the store of a document; without one, that of Kubernetes.
///
/// # Errors
/// When a field is wrong, or the store cannot be connected.
pub(super) async fn open(
    document: Option<&Document>,
    namespace: Option<&str>,
    ca_bundle: Option<&Path>,
) -> Result<Arc<dyn SecretStore>, String> {
    let kubernetes = |spec| {
        let account = ServiceAccount::of_pod(&crate::manifest::ProcessEnvironment)?;
        Ok::<Arc<dyn SecretStore>, String>(Arc::new(Kubernetes::new(account, spec, namespace.map(str::to_owned))))
    };
    let Some(document) = document else { return kubernetes(KubernetesSpec::default()) };
    let (faults, _) = check(document);
    if !faults.is_empty() {
        return Err(format!("its document has faults: {faults}"));
    }
    let mut reader = Reader::new(document);
    let with_bundle = |mut connection: ConnectionSettings| {
        // The caller waits for the secret, so missing credentials are an error at once.
        connection.fail_fast = true;
        if connection.ca_bundle.is_none() {
            connection.ca_bundle = ca_bundle.map(Path::to_owned);
        }
        connection
    };
    match document.component_type.to_lowercase().as_str() {
        SECRETS_MANAGER => {
            let spec = SecretsManagerSpec::read(&mut reader);
            let spec = SecretsManagerSpec { connection: with_bundle(spec.connection), ..spec };
            let store = Box::pin(SecretsManager::connect(spec)).await;
            Ok(Arc::new(store.map_err(|error| error.to_string())?))
        }
        PARAMETER_STORE => {
            let spec = ParameterStoreSpec::read(&mut reader);
            let spec = ParameterStoreSpec { connection: with_bundle(spec.connection), ..spec };
            let store = Box::pin(ParameterStore::connect(spec)).await;
            Ok(Arc::new(store.map_err(|error| error.to_string())?))
        }
        _ => kubernetes(KubernetesSpec::read(&mut reader)),
    }
}
