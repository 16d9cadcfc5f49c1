//! Checks that need more than one component, or the file system: shared lease tables, dead letter bindings, missing files.
//! Components with faults are included, so that one run reports everything.

use super::Checked;
use crate::aws::{IdentitySource, StreamRef};
use crate::domain::{ComponentName, StreamIdentity};
use crate::manifest::{Document, Environment, Fault, Notice};
use std::collections::HashMap;
use std::path::PathBuf;

/// The faults, each with the index of its component. `documents` are all loaded documents, also those of unknown kinds.
pub(super) fn faults(components: &[Checked], documents: &[Document]) -> Vec<(usize, Fault)> {
    let dead_letters = components.iter().enumerate().filter_map(|(index, component)| {
        let problem = dead_letter_problem(components, documents, component)?;
        let remedy =
            "name another component that has an output side and does not send its dead letters back to this one";
        Some((index, fault(component, "deadLetterBinding", problem, remedy)))
    });
    let into_itself = components.iter().enumerate().filter_map(|(index, component)| {
        let problem = feeds_itself(components, component).filter(|_| !component.direction().needs_probe())?;
        let remedy = "name an output that writes to another stream or to a table";
        Some((index, fault(component, "deadLetterBinding", problem, remedy)))
    });
    let clashes = lease_table_clashes(components).into_iter().filter(|clash| clash.is_certain);
    let clashes = clashes.map(|clash| {
        let problem = format!("its lease table `{}` is also that of component `{}`", clash.table, clash.first);
        let remedy = "give each input its own `consumerName`";
        (clash.index, fault(&components[clash.index], "consumerName", problem, remedy))
    });
    clashes.chain(dead_letters).chain(into_itself).collect()
}

fn fault(component: &Checked, field: &str, problem: String, remedy: &str) -> Fault {
    Fault::of_document(&component.place, problem, remedy).component(component.name.as_str()).field(field)
}

/// Notices about records that are too large for their dead letter binding or may be left out by it, and about what is a fault only if the app accepts
/// an input: lease tables that two components share, and dead letters that an input reads again.
pub(super) fn notices(components: &[Checked]) -> Vec<Notice> {
    let clashes = lease_table_clashes(components).into_iter().filter(|clash| !clash.is_certain);
    let notice = |clash: Clash<'_>| {
        let text = format!(
            "field `consumerName`: its lease table `{}` is also that of component `{}`, so only one of the two inputs can be \
             read; give each its own `consumerName`, or write `direction: output` where only the output is used",
            clash.table, clash.first
        );
        let component = &components[clash.index];
        Notice::of_document(&component.place, text).component(component.name.as_str())
    };
    let into_itself = components.iter().filter(|component| component.is_valid && component.direction().needs_probe());
    let into_itself = into_itself.filter_map(|component| {
        let text =
            format!("field `deadLetterBinding`: {}, if the app accepts it", feeds_itself(components, component)?);
        Some(Notice::of_document(&component.place, text).component(component.name.as_str()))
    });
    let oversize = components.iter().filter(|component| component.is_valid).filter_map(|component| {
        let text = oversize_problem(components, component)?;
        Some(Notice::of_document(&component.place, text).component(component.name.as_str()))
    });
    let left_out = components.iter().filter(|component| component.is_valid).filter_map(|component| {
        let text = left_out_problem(components, component)?;
        Some(Notice::of_document(&component.place, text).component(component.name.as_str()))
    });
    clashes.map(notice).chain(into_itself).chain(oversize).chain(left_out).collect()
}

/// A dead letter is another JSON than its record, and must not be lost.
fn left_out_problem(components: &[Checked], component: &Checked) -> Option<String> {
    let target = component.dead_letter()?;
    let target = components.iter().find(|other| other.name == *target && other.may_leave_out())?;
    Some(format!(
        "field `deadLetterBinding`: component `{}` has a `filter` or a `transform`; a dead letter that it leaves out is not \
         stored, and counts as failed",
        target.name
    ))
}

/// A dead letter is larger than its record, and so may be too large for a target that would take the record.
fn oversize_problem(components: &[Checked], component: &Checked) -> Option<String> {
    let target =
        component.dead_letter().filter(|_| component.has_no_oversize_folder() && component.input_gives_up())?;
    let target = components.iter().find(|other| other.name == *target)?;
    Some(format!(
        "field `deadLetterBinding`: component `{}` stores {}, and a dead letter is larger than its record; one that is \
         too large stops its key, so add `deadLetterFolder` for these",
        target.name,
        target.write_limit()?
    ))
}

/// What is wrong with a dead letter binding that writes to the stream which the component reads: each dead letter would be
/// read, refused and written again.
fn feeds_itself(components: &[Checked], component: &Checked) -> Option<String> {
    let is_target = |other: &&Checked| Some(&other.name) == component.dead_letter() && other.name != component.name;
    let target = components.iter().find(is_target).filter(|_| component.input_gives_up())?;
    let (read, written) = (component.input_stream()?, target.output_stream()?);
    let (from, to) = (component.connection()?, target.connection()?);
    let may_share = |one: Option<&str>, other: Option<&str>| one.is_none() || other.is_none() || one == other;
    let is_same = StreamIdentity::may_be_same(stream_text(read), stream_text(written))
        && may_share(from.region.as_deref(), to.region.as_deref())
        && from.endpoint == to.endpoint;
    is_same.then(|| format!("component `{}` writes to the stream that the input reads", target.name))
}

fn stream_text(stream: &StreamRef) -> &str {
    stream.arn().unwrap_or_else(|| stream.name())
}

/// A component whose lease table an earlier one has too. Two inputs on one lease table would take each other's shards, or
/// mix up the shards of two streams.
struct Clash<'c> {
    index: usize,
    table: &'c str,
    first: &'c ComponentName,
    /// Whether both files ask for the input explicitly. Otherwise the app decides, and both may be outputs only.
    is_certain: bool,
}

/// At most one clash for each component. Components with faults are skipped, because their lease table may be wrong.
fn lease_table_clashes(components: &[Checked]) -> Vec<Clash<'_>> {
    let is_explicit = |component: &Checked| !component.direction().needs_probe();
    let mut seen: HashMap<&str, Vec<&Checked>> = HashMap::new();
    let mut clashes = Vec::new();
    for (index, component) in components.iter().enumerate().filter(|(_, component)| component.is_valid) {
        let Some(table) = component.lease_table() else { continue };
        let earlier = seen.entry(table).or_default();
        let explicit = earlier.iter().find(|other| is_explicit(component) && is_explicit(other));
        if let Some(first) = explicit.or_else(|| earlier.first()) {
            clashes.push(Clash { index, table, first: &first.name, is_certain: explicit.is_some() });
        }
        earlier.push(component);
    }
    clashes
}

/// A dead letter binding must exist, must have an output side, and must not lead back to the component itself.
fn dead_letter_problem(components: &[Checked], documents: &[Document], component: &Checked) -> Option<String> {
    let target = component.dead_letter()?;
    let find = |name: &ComponentName| components.iter().find(|component| component.name == *name);
    let Some(found) = find(target) else {
        // A typing error in its type is already a fault; a second one would not help.
        let has_fault = |document: &Document| {
            let kind = document.component_type.to_lowercase();
            document.name == *target && !document.ignore_errors && kind.starts_with("bindings.")
        };
        let is_reported = documents.iter().any(has_fault);
        return (!is_reported).then(|| format!("there is no component `{target}` of a type that bindd serves"));
    };
    if !found.is_valid && found.ignore_errors {
        return Some(format!("component `{target}` is left out for its faults, because it has `ignoreErrors`"));
    }
    if !found.direction().has_output() {
        return Some(format!("component `{target}` has no output side"));
    }
    let mut next = Some(target);
    // A chain without a loop is not longer than the list; a loop that does not include this component ends here.
    for _ in 0..=components.len() {
        let name = next?;
        if *name == component.name {
            return Some(format!("its dead letters come back to `{}`", component.name));
        }
        next = find(name).and_then(Checked::dead_letter);
    }
    None
}

/// Notices about files that are not on this machine: `credentialsFile`, `caBundle`, and the files that `AWS_CA_BUNDLE` and
/// `AWS_WEB_IDENTITY_TOKEN_FILE` name, if a component uses these. They are no faults: components may be checked on another
/// machine than they run on, and some files are mounted late. Paths are not shown, because they may come from secret
/// stores. Looks at the file system, but opens no file.
#[must_use]
pub fn missing_files(components: &[Checked], environment: &dyn Environment) -> Vec<Notice> {
    components.iter().flat_map(|component| missing_files_of(component, environment)).collect()
}

fn missing_files_of(component: &Checked, environment: &dyn Environment) -> Vec<Notice> {
    let is_missing = |(_, path): &(&str, PathBuf)| std::fs::metadata(path).is_err();
    let notice = |(what, _)| {
        let text = format!("{what}: the file is not on this machine, or cannot be accessed");
        Notice::of_document(&component.place, text).component(component.name.as_str())
    };
    files_of(component, environment).into_iter().filter(is_missing).map(notice).collect()
}

/// The files that the component will read, each with the field or variable that names it.
fn files_of(component: &Checked, environment: &dyn Environment) -> Vec<(&'static str, PathBuf)> {
    let Some(connection) = component.connection() else { return Vec::new() };
    let variable = |name: &str| environment.get(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut files = Vec::new();
    files.extend(connection.identity.credentials_file.clone().map(|path| ("field `credentialsFile`", path)));
    match &connection.ca_bundle {
        Some(path) => files.push(("field `caBundle`", path.clone())),
        None => files.extend(variable("AWS_CA_BUNDLE").map(|path| ("environment variable `AWS_CA_BUNDLE`", path))),
    }
    if matches!(connection.identity.source, IdentitySource::WebIdentity) {
        let path = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
        files.extend(path.map(|path| ("environment variable `AWS_WEB_IDENTITY_TOKEN_FILE`", path)));
    }
    files
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

    /// The notices about a component with these fields and variables.
    fn notices_of(fields: &[(&str, &str)], variables: Vec<(&'static str, String)>) -> String {
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
        let result = check(load(&request));
        assert!(result.faults.is_empty() && result.components.len() == 1, "{}", result.faults);
        missing_files(&result.components, &environment).iter().map(|notice| format!("{notice}\n")).collect()
    }

    #[test]
    fn missing_files_are_reported_without_their_paths() {
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
            let shown = notices_of(&fields, vec![(variable, gone.to_owned())]);
            assert_eq!(shown.lines().count(), parts.len(), "{fields:?} {variable}: {shown}");
            assert!(parts.iter().all(|part| shown.contains(part)), "{fields:?} {variable}: {shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}
