//! `secretstores.kubernetes`: reads secrets with the service account of the pod.

use super::super::http::{ApiClient, ApiRequest};
use super::service_account::ServiceAccount;
use super::store::SecretStore;
use crate::domain::{BindingError, FailureKind};
use crate::manifest::{Reader, SecretKey, SecretValues};
use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The fields of a document.
#[derive(Debug, Clone, Default)]
pub struct KubernetesSpec {
    /// `defaultNamespace`: for documents without a namespace, in a sidecar without one.
    pub default_namespace: Option<String>,
}

impl KubernetesSpec {
    /// Reads every field; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        if reader.text("kubeconfigPath").is_some() {
            let problem = "bindd reads secrets of Kubernetes only in a pod, with its service account";
            reader.fault("kubeconfigPath", problem, "leave it out; outside of a pod use `secretstores.local.env`");
        }
        Self { default_namespace: reader.text("defaultNamespace") }
    }
}

#[derive(Debug)]
pub(super) struct Kubernetes {
    account: ServiceAccount,
    /// The namespace of documents that have none.
    namespace: Option<String>,
}

/// The part of a `Secret` that is read.
#[derive(Deserialize)]
struct SecretObject {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Kubernetes {
    /// `namespace` is that of the sidecar.
    pub(super) fn new(account: ServiceAccount, spec: KubernetesSpec, namespace: Option<String>) -> Self {
        let namespace = namespace.or(spec.default_namespace).or_else(|| account.namespace());
        Self { account, namespace }
    }
}

#[async_trait]
impl SecretStore for Kubernetes {
    async fn get(&self, key: &SecretKey) -> Result<SecretValues, BindingError> {
        let invalid = |text: String| BindingError::new(FailureKind::Caller, text);
        let namespace = Some(key.namespace.as_str()).filter(|name| !name.is_empty()).or(self.namespace.as_deref());
        let namespace = namespace.ok_or_else(|| {
            invalid("no namespace is known; set NAMESPACE, or `defaultNamespace` in the store".to_owned())
        })?;
        for name in [namespace, &key.secret] {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            if name.is_empty() || !name.chars().all(is_name) || name.starts_with('.') {
                return Err(invalid(format!("`{}` is not a name of Kubernetes", name.escape_debug())));
            }
        }
        let token = self.account.token().map_err(invalid)?;
        let url = format!("{}/api/v1/namespaces/{namespace}/secrets/{}", self.account.server, key.secret);
        let authority = self.account.authority().map_err(invalid)?;
        let client = ApiClient::connect(Some(authority.into())).await?;
        let response = client.get(ApiRequest { url, bearer: token }).await?;
        if response.status().is_success() {
            return values(response.body()).map_err(|text| BindingError::new(FailureKind::Permanent, text));
        }
        let (kind, advice) = match response.status().as_u16() {
            401 | 403 => (FailureKind::Denied, "; allow the service account to `get` this secret"),
            404 => (FailureKind::NotFound, "; create it, or correct its name"),
            429 => (FailureKind::Throttled, ""),
            500.. => (FailureKind::Transient, ""),
            _ => (FailureKind::Permanent, ""),
        };
        let text = format!("Kubernetes answered {} in namespace `{namespace}`{advice}", response.status());
        Err(BindingError::new(kind, text))
    }
}

/// The values of a `Secret`, which are base64. A value that is no text is left out: no field can hold it.
fn values(body: &[u8]) -> Result<SecretValues, String> {
    // The error of the parser could quote the body.
    let object: SecretObject =
        serde_json::from_slice(body).map_err(|_| "Kubernetes returned no object of kind Secret".to_owned())?;
    let decode = |(key, text): (String, String)| {
        let bytes = base64_simd::STANDARD.decode_to_vec(text).ok()?;
        Some((key, SecretString::from(String::from_utf8(bytes).ok()?)))
    };
    Ok(object.data.into_iter().filter_map(decode).collect())
}

#[cfg(test)]
#[path = "tests/kubernetes.rs"]
mod tests;
