//! Files that components are told to read and that are not there.

use super::Checked;
use crate::aws::IdentitySource;
use crate::manifest::{Environment, Notice};
use std::path::PathBuf;

/// Notices about files that are not on this machine: `credentialsFile`, `caBundle`, and what `AWS_CA_BUNDLE` and
/// `AWS_WEB_IDENTITY_TOKEN_FILE` name where a component goes by them. No faults: files are checked on other machines than
/// they are used on, and some are mounted late. Paths are not shown, because they may come from secret stores.
///
/// Looks at the file system, and opens nothing.
#[must_use]
pub fn absent_files(components: &[Checked], environment: &dyn Environment) -> Vec<Notice> {
    components.iter().flat_map(|checked| of_component(checked, environment)).collect()
}

fn of_component(checked: &Checked, environment: &dyn Environment) -> Vec<Notice> {
    let is_absent = |(_, path): &(&str, PathBuf)| std::fs::metadata(path).is_err();
    let notice = |(what, _)| {
        let text = format!("{what}: there is no such file on this machine, or it cannot be looked at");
        Notice::of_document(&checked.place, text).component(checked.name.as_str())
    };
    named(checked, environment).into_iter().filter(is_absent).map(notice).collect()
}

/// The files that the component will read, each with what names it.
fn named(checked: &Checked, environment: &dyn Environment) -> Vec<(&'static str, PathBuf)> {
    let connection = checked.connection();
    let variable = |name: &str| environment.get(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut named = Vec::new();
    named.extend(connection.identity.credentials_file.clone().map(|path| ("field `credentialsFile`", path)));
    match &connection.ca_bundle {
        Some(path) => named.push(("field `caBundle`", path.clone())),
        None => named.extend(variable("AWS_CA_BUNDLE").map(|path| ("environment variable `AWS_CA_BUNDLE`", path))),
    }
    if matches!(connection.identity.source, IdentitySource::WebIdentity) {
        let path = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
        named.extend(path.map(|path| ("environment variable `AWS_WEB_IDENTITY_TOKEN_FILE`", path)));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::manifest::{LoadRequest, load};

    struct Variables(Vec<(&'static str, String)>);

    impl Environment for Variables {
        fn get(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        }
    }

    /// What is told of a component with these fields, and the word of the variables.
    fn told(fields: &[(&str, &str)], variables: Vec<(&'static str, String)>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let items: Vec<String> =
            fields.iter().map(|(name, value)| format!("{{name: {name}, value: {value:?}}}")).collect();
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: rows}}\nspec:\n  \
             type: bindings.aws.dynamodb\n  metadata: [{{name: table, value: orders}}, {}]\n",
            items.join(", ")
        );
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        let (paths, environment) = ([folder.path().to_owned()], Variables(variables));
        let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &environment };
        let verdict = check(load(&request));
        assert!(verdict.faults.is_empty() && verdict.components.len() == 1, "{}", verdict.faults);
        absent_files(&verdict.components, &environment).iter().map(|notice| format!("{notice}\n")).collect()
    }

    #[test]
    fn files_that_are_not_there_are_told_without_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("here");
        std::fs::write(&here, "").unwrap();
        let (here, gone) = (here.to_str().unwrap(), folder.path().join("s3cret"));
        let gone = gone.to_str().unwrap();
        for (fields, variable, parts) in [
            (vec![("credentialsFile", here), ("caBundle", here)], "AWS_CA_BUNDLE", vec![]),
            (vec![("credentialsFile", gone)], "NONE", vec!["field `credentialsFile`"]),
            (vec![("credentialsFile", gone), ("caBundle", gone)], "NONE", vec!["`credentialsFile`", "`caBundle`"]),
            (vec![], "AWS_CA_BUNDLE", vec!["environment variable `AWS_CA_BUNDLE`"]),
            (vec![], "AWS_WEB_IDENTITY_TOKEN_FILE", vec![]),
            (vec![("credentialSource", "webIdentity")], "AWS_WEB_IDENTITY_TOKEN_FILE", vec!["_WEB_IDENTITY_"]),
        ] {
            let told = told(&fields, vec![(variable, gone.to_owned())]);
            assert_eq!(told.lines().count(), parts.len(), "{fields:?} {variable}: {told}");
            assert!(parts.iter().all(|part| told.contains(part)), "{fields:?} {variable}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }
}
