//! How a pod reaches the API server of Kubernetes:
//! <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>.

use crate::manifest::Environment;
use secrecy::SecretString;
use std::path::{Path, PathBuf};

const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The address of the API server, and the files of the service account.
#[derive(Debug, Clone)]
pub(super) struct ServiceAccount {
    /// With scheme and port.
    pub(super) server: String,
    pub(super) folder: PathBuf,
}

impl ServiceAccount {
    /// # Errors
    /// When this is not a pod.
    pub(super) fn of_pod(environment: &dyn Environment) -> Result<Self, String> {
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let (Some(host), Some(port)) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"))
        else {
            return Err("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is not a pod of \
                        Kubernetes"
                .to_owned());
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self { server: format!("https://{host}:{port}"), folder: PathBuf::from(FOLDER) })
    }

    /// The certificate authority of the API server, as PEM text.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn authority(&self) -> Result<String, String> {
        read(&self.folder.join("ca.crt"))
    }

    /// The token, which Kubernetes renews in its file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn token(&self) -> Result<SecretString, String> {
        read(&self.folder.join("token")).map(SecretString::from)
    }

    /// The namespace of the pod.
    pub(super) fn namespace(&self) -> Option<String> {
        read(&self.folder.join("namespace")).ok().filter(|name| !name.is_empty())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("{} cannot be read: {error}; let the pod mount the token of its service account", path.display())
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_address_comes_from_the_variables_of_a_pod() {
        let pod = |host| HashMap::from([("KUBERNETES_SERVICE_HOST", host), ("KUBERNETES_SERVICE_PORT", "443")]);
        assert_eq!(ServiceAccount::of_pod(&pod("10.0.0.1")).unwrap().server, "https://10.0.0.1:443");
        assert_eq!(ServiceAccount::of_pod(&pod("fd00::1")).unwrap().server, "https://[fd00::1]:443");
        assert!(ServiceAccount::of_pod(&pod("")).unwrap_err().contains("not a pod"));
    }
}
