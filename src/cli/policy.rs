//! `bindd policy`: prints the smallest IAM policy for component files. Makes no network call.

use super::files;
use super::iam_policy::policy;
use super::iam_statements::PolicyScope;
use crate::bindings::{Checked, check};
use crate::domain::app_id_or_default;
use crate::manifest::FetchedSecrets;
use crate::settings::PolicySettings;
use serde_json::Value;
use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyOutput {
    /// The policy as JSON, for standard output; `None` when a file has faults.
    pub policy: Option<String>,
    /// Notes and faults, for standard error.
    pub notes: String,
}

/// The policy of the files, as a sidecar of that app and namespace would load them.
#[must_use]
pub fn run(settings: &PolicySettings) -> PolicyOutput {
    let files = &settings.files;
    let (read, findings) = files::read(files, &[]);
    let secrets = read.wanted(&FetchedSecrets::default());
    let mut result = check(read.offline());
    findings.add_to(&mut result);
    if !result.faults.is_empty() {
        return PolicyOutput { policy: None, notes: format!("component files have faults:\n{}", result.faults) };
    }
    let region = settings.region.as_deref();
    // The notices show which components were left out: in another sidecar they need permissions too.
    let mut notes: Vec<Cow<'_, str>> = result.notices.iter().map(|notice| notice.to_string().into()).collect();
    let connections: Vec<_> = result.components.iter().filter_map(Checked::connection).collect();
    let scope = PolicyScope { app_id: app_id_or_default(files.app_id.as_deref().unwrap_or_default()), region };
    let policy = policy(&result.components, &secrets, scope);
    if is_empty(&policy) {
        notes.push(
            "there are no components that use AWS: the policy would be empty, and IAM rejects an empty one".into(),
        );
    }
    if region.is_none() && connections.iter().any(|connection| connection.region.is_none()) {
        notes.push(
            "some components name no region: the policy allows all regions; give --region to allow only one".into(),
        );
    }
    if files.app_id.is_none() {
        notes.push("without --app-id, the default name of lease tables and consumers is bindd-COMPONENT".into());
    }
    if !connections.is_empty() {
        notes.push(
            "a stream or table that is encrypted with your own KMS key also needs permissions on the key: \
             kms:GenerateDataKey to write to a stream, kms:Decrypt to read it; kms:Decrypt and kms:DescribeKey for a table"
                .into(),
        );
    }
    if secrets.iter().any(|secret| secret.store.is_some()) {
        notes.push(
            "a secret or parameter of AWS that is encrypted with your own KMS key also needs kms:Decrypt on the key"
                .into(),
        );
    }
    PolicyOutput {
        policy: Some(format!("{policy:#}\n")),
        notes: notes.iter().map(|note| format!("note: {note}\n")).collect(),
    }
}

fn is_empty(policy: &Value) -> bool {
    policy["Statement"].as_array().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::CheckSettings;

    #[test]
    fn notes_say_what_the_policy_leaves_out() {
        let folder = tempfile::tempdir().unwrap();
        let text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: rows}\nscopes: [till]\nspec:\n  \
                    type: bindings.aws.dynamodb\n  metadata: [{name: table, value: orders}]\n";
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        let print = |app_id: &str| {
            let (paths, app_id) = (vec![folder.path().to_owned()], Some(app_id.to_owned()));
            let files = CheckSettings { paths, app_id, ..CheckSettings::default() };
            run(&PolicySettings { files, region: None })
        };
        let (of_till, of_shop) = (print("till"), print("shop"));
        assert!(of_till.policy.unwrap().contains("PutItem") && !of_till.notes.contains("no components"));
        assert!(of_shop.policy.is_some());
        for part in ["do not name the app id `shop`", "there are no components"] {
            assert!(of_shop.notes.contains(part), "{}", of_shop.notes);
        }
    }
}
