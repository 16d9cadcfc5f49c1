//! The statements for secrets of AWS to which component files refer.

use super::iam_statements::{Location, PolicyScope, Statements};
use crate::aws::ConnectionSettings;
use crate::bindings::secretstores::{ParameterStoreSpec, SecretsManagerSpec};
use crate::domain::ComponentName;
use crate::manifest::{Document, PARAMETER_STORE, Reader, SECRETS_MANAGER, WantedSecret};
use std::collections::{BTreeMap, BTreeSet};

/// What a store of AWS calls, and on which secrets.
struct Reads {
    connection: ConnectionSettings,
    action: &'static str,
    resources: BTreeSet<String>,
}

/// One statement for each store. Stores of Kubernetes need no permission in AWS.
pub(super) fn add_secrets(statements: &mut Statements, secrets: &[WantedSecret], scope: PolicyScope<'_>) {
    let mut stores: BTreeMap<&str, (&ComponentName, Reads)> = BTreeMap::new();
    for WantedSecret { store, key } in secrets {
        let Some(document) = store else { continue };
        let Some((reads, resource)) = reads(document, &key.secret, scope) else { continue };
        let (_, reads) = stores.entry(document.name.as_str()).or_insert((&document.name, reads));
        reads.resources.insert(resource);
    }
    for (name, Reads { connection, action, resources }) in stores.into_values() {
        let resources: Vec<String> = resources.into_iter().collect();
        statements.add(name, "Secrets", &[action], &resources);
        statements.add_role(name, &connection);
    }
}

/// `None` for a store outside of AWS.
fn reads(store: &Document, secret: &str, scope: PolicyScope<'_>) -> Option<(Reads, String)> {
    let mut reader = Reader::new(store);
    let (connection, action, name) = match store.component_type.to_lowercase().as_str() {
        SECRETS_MANAGER => {
            let connection = SecretsManagerSpec::read(&mut reader).connection;
            (connection, "secretsmanager:GetSecretValue", secret.to_owned())
        }
        PARAMETER_STORE => {
            let spec = ParameterStoreSpec::read(&mut reader);
            (spec.connection, "ssm:GetParameter", format!("{}{secret}", spec.prefix))
        }
        _ => return None,
    };
    let location = Location::new(Some(&connection), scope);
    let resource = match action {
        _ if name.starts_with("arn:") => name,
        // The name of a parameter may begin with a slash, which its ARN has once.
        "ssm:GetParameter" => location.arn("ssm", &format!("parameter/{}", name.trim_start_matches('/'))),
        // The ARN of a secret ends in six characters that AWS chooses.
        _ => location.arn("secretsmanager", &format!("secret:{name}-??????")),
    };
    Some((Reads { connection, action, resources: BTreeSet::new() }, resource))
}
