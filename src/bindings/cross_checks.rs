//! What is wrong with components only beside each other: two on one lease table, letters that arrive nowhere. Those with
//! faults of their own are looked at too, so that one run tells everything.

use super::Checked;
use crate::aws::IdentitySource;
use crate::domain::ComponentName;
use crate::manifest::{Document, Environment, Fault, Notice};
use std::collections::HashMap;
use std::path::PathBuf;

/// A document of a known kind, checked by itself.
#[derive(Debug)]
pub(super) struct Candidate<'d> {
    pub(super) document: &'d Document,
    pub(super) checked: Checked,
    /// Whether no fault was found in it.
    pub(super) is_sound: bool,
}

/// The faults, each with the place of its candidate. `documents` are all that were loaded, of unknown kinds too.
pub(super) fn judge(candidates: &[Candidate<'_>], documents: &[Document]) -> Vec<(usize, Fault)> {
    let letters = candidates.iter().enumerate().filter_map(|(place, from)| {
        let problem = undeliverable(candidates, documents, &from.checked)?;
        let remedy = "name another component that has an output side and whose own letters do not come back";
        Some((place, fault(from, "deadLetterBinding", problem, remedy)))
    });
    shared_lease_tables(candidates).into_iter().chain(letters).collect()
}

fn fault(candidate: &Candidate<'_>, field: &str, problem: String, remedy: &str) -> Fault {
    let fault = Fault::of_document(&candidate.document.place, problem, remedy);
    fault.component(candidate.checked.name.as_str()).field(field)
}

/// Two inputs on one lease table would take each other's shards, or mix up the shards of two streams. It is a fault where
/// both files say that they are read. Where one leaves that to the app, both may be meant as outputs only.
fn shared_lease_tables(candidates: &[Candidate<'_>]) -> Vec<(usize, Fault)> {
    let clashes = clashes(candidates).into_iter().filter(|clash| clash.is_certain);
    let fault = |clash: Clash<'_>| {
        let problem = format!("its lease table `{}` is also that of component `{}`", clash.table, clash.first);
        let remedy = "give each input its own `consumerName`";
        (clash.place, fault(&candidates[clash.place], "consumerName", problem, remedy))
    };
    clashes.map(fault).collect()
}

/// What is odd beside others: lease tables that only one of two components can use, should the app want both inputs.
pub(super) fn notices(candidates: &[Candidate<'_>]) -> Vec<Notice> {
    let clashes = clashes(candidates).into_iter().filter(|clash| !clash.is_certain);
    let notice = |clash: Clash<'_>| {
        let text = format!(
            "field `consumerName`: its lease table `{}` is also that of component `{}`, so only one of the two inputs can be \
             read; give each its own `consumerName`, or write `direction: output` where only the output is used",
            clash.table, clash.first
        );
        let candidate = &candidates[clash.place];
        Notice::of_document(&candidate.document.place, text).component(candidate.checked.name.as_str())
    };
    clashes.map(notice).collect()
}

/// A component whose lease table an earlier one has too.
struct Clash<'c> {
    place: usize,
    table: &'c str,
    first: &'c ComponentName,
    /// Whether both files say that their input is read.
    is_certain: bool,
}

/// One clash at most for each component. Of a component with faults it is not sure which table it means.
fn clashes<'c>(candidates: &'c [Candidate<'_>]) -> Vec<Clash<'c>> {
    let is_explicit = |checked: &Checked| !checked.direction().needs_probe();
    let mut seen: HashMap<&str, Vec<&Checked>> = HashMap::new();
    let mut clashes = Vec::new();
    for (place, candidate) in candidates.iter().enumerate().filter(|(_, candidate)| candidate.is_sound) {
        let checked = &candidate.checked;
        let Some(table) = checked.lease_table() else { continue };
        let earlier = seen.entry(table).or_default();
        let explicit = earlier.iter().find(|other| is_explicit(checked) && is_explicit(other));
        if let Some(first) = explicit.or_else(|| earlier.first()) {
            clashes.push(Clash { place, table, first: &first.name, is_certain: explicit.is_some() });
        }
        earlier.push(checked);
    }
    clashes
}

/// A dead letter binding must be there, must have an output side, and must not lead back to where letters come from.
fn undeliverable(candidates: &[Candidate<'_>], documents: &[Document], from: &Checked) -> Option<String> {
    let target = from.dead_letter()?;
    let find = |name: &ComponentName| candidates.iter().find(|candidate| candidate.checked.name == *name);
    let Some(peer) = find(target) else {
        // A mistyped type of binding has its own fault; a second one would not help.
        let is_told = |document: &&Document| {
            let kind = document.component_type.to_lowercase();
            document.name == *target && !document.ignore_errors && kind.starts_with("bindings.")
        };
        return documents
            .iter()
            .find(is_told)
            .is_none()
            .then(|| format!("there is no component `{target}` of a type that bindd serves"));
    };
    if !peer.is_sound && peer.checked.ignore_errors {
        return Some(format!("component `{target}` is left out for its faults, as its `ignoreErrors` asks"));
    }
    if !peer.checked.direction().has_output() {
        return Some(format!("component `{target}` has no output side"));
    }
    let mut next = Some(target);
    // No way without a loop is longer than the list.
    for _ in 0..=candidates.len() {
        let name = next?;
        if *name == from.name {
            return Some(format!("its letters come back to `{}`", from.name));
        }
        next = find(name).and_then(|candidate| candidate.checked.dead_letter());
    }
    None
}

/// Notices about files that are not on this machine: `credentialsFile`, `caBundle`, and what `AWS_CA_BUNDLE` and
/// `AWS_WEB_IDENTITY_TOKEN_FILE` name where a component goes by them. No faults: files are checked on other machines than
/// they are used on, and some are mounted late. Paths are not shown, because they may come from secret stores.
///
/// Looks at the file system, and opens nothing.
#[must_use]
pub fn missing_files(components: &[Checked], environment: &dyn Environment) -> Vec<Notice> {
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
        missing_files(&verdict.components, &environment).iter().map(|notice| format!("{notice}\n")).collect()
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
