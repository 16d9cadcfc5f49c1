//! Which `Resiliency` documents are in force after their files have changed. Pure.

use super::reload_plan::hides;
use crate::bindings::CheckResult;
use crate::manifest::{Notice, ResiliencyDocument};
use crate::policies::ResiliencySpec;
use std::path::Path;

/// The documents in force, and one line for each that is in force only because its file has a fault.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Merged {
    pub(super) documents: Vec<ResiliencyDocument>,
    pub(super) kept: Vec<String>,
}

/// Keeps the last correct version of a document while its file has a fault. It ends when the document is correct, or is
/// plainly gone. Wrong documents without an earlier version are among the result, so that they are reported.
///
/// `unparsed` are documents that cannot be parsed and seem to be policies; `result` is of the components of the same files.
pub(super) fn merge(
    old: &[ResiliencyDocument],
    new: &[ResiliencyDocument],
    unparsed: &[Notice],
    result: &CheckResult,
) -> Merged {
    let problems: Vec<Option<String>> = new.iter().map(problem).collect();
    let is_good = |name: &str, file: &str| {
        let mut good = new.iter().zip(&problems).filter(|(_, problem)| problem.is_none()).map(|(document, _)| document);
        good.any(|document| document.name == name && (document.place.file == file || !name.is_empty()))
    };
    let mut merged = Merged { documents: new.to_vec(), kept: Vec::new() };
    let mut previous: Option<&ResiliencyDocument> = None;
    for document in old.iter().filter(|document| problem(document).is_none()) {
        let (name, file) = (document.name.as_str(), document.place.file.as_str());
        if !is_good(name, file) {
            let wrong =
                new.iter().zip(&problems).find(|(other, problem)| other.place.file == file && problem.is_some());
            let wrong = wrong.and_then(|(other, problem)| Some((other, problem.as_ref()?)));
            let reason =
                wrong.map(|(other, problem)| format!("Could not read resiliency policy {}: {problem}", other.name));
            let Some(reason) = reason.or_else(|| doubt(document, unparsed, result)) else { continue };
            merged.kept.push(format!("{reason}; the last correct policies of {name} in {file} stay in force"));
            // It stays where it was, since later documents override earlier ones.
            let after =
                merged.documents.iter().position(|other| previous.is_some_and(|previous| same(previous, other)));
            merged.documents.insert(after.map_or(0, |at| at + 1), document.clone());
        }
        previous = Some(document);
    }
    let of_kept = |document: &ResiliencyDocument| {
        let is_old = |known: &&ResiliencyDocument| known.place.file == document.place.file;
        old.iter().filter(is_old).any(|known| problem(known).is_none() && !is_good(&known.name, &known.place.file))
    };
    merged.documents.retain(|document| problem(document).is_none() || old.contains(document) || !of_kept(document));
    merged
}

fn same(one: &ResiliencyDocument, other: &ResiliencyDocument) -> bool {
    (&one.name, &one.place.file) == (&other.name, &other.place.file)
}

/// What is wrong with a document. One without anything in `spec` may be half of one.
fn problem(document: &ResiliencyDocument) -> Option<String> {
    if document.spec.values().all(serde_json::Value::is_null) {
        return Some("it has no `spec` with policies or targets".to_owned());
    }
    ResiliencySpec::read(document).err()
}

/// Why it is not known whether the document is gone.
fn doubt(document: &ResiliencyDocument, unparsed: &[Notice], result: &CheckResult) -> Option<String> {
    let file = document.place.file.as_str();
    if let Some(notice) = unparsed.iter().find(|notice| notice.file == file) {
        return Some(notice.to_string());
    }
    let of_it = |name: &Option<String>| name.as_ref().is_none_or(|name| *name == document.name);
    let mut unsure = result.not_loaded.iter().filter(|one| one.file == file && of_it(&one.name)).peekable();
    if unsure.peek().is_some() || result.faults.iter().any(|fault| hides(fault, Path::new(file))) {
        let notice = unsure.find_map(|one| one.notice.as_ref());
        return Some(notice.map_or_else(|| format!("{file}: the file has a fault"), ToString::to_string));
    }
    None
}

#[cfg(test)]
#[path = "tests/policy_merge.rs"]
mod tests;
