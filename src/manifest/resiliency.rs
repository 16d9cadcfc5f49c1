//! Reads `Resiliency` documents. What they mean is decided by the module `policies`.

use super::folder::{Dialect, Folders, SourceFile};
use super::kinds::RESILIENCY;
use super::scalar::scalar;
use super::split::{is_blank, split};
use super::{LoadRequest, Notice, Place, tree};
use serde_json::{Map, Value};

/// Documents beyond this number in one file are not read.
const MAX_DOCUMENTS: usize = 1_000;

/// A document of kind `Resiliency` for this app.
#[derive(Debug, Clone, PartialEq)]
pub struct ResiliencyDocument {
    /// `metadata.name`; may be empty.
    pub name: String,
    /// `metadata.namespace`; may be empty.
    pub namespace: String,
    pub place: Place,
    /// `spec`
    pub spec: Map<String, Value>,
}

/// Reads all `Resiliency` documents of the folders and files, in their order, whose `scopes` are empty or name the app.
/// Daprd reads only the first document of a file; here every one is read. Files that cannot be parsed and seem to have
/// one are among the notices. Nothing here prevents the start, as in Dapr.
#[must_use]
pub fn load_resiliencies(request: &LoadRequest<'_>) -> (Vec<ResiliencyDocument>, Vec<Notice>) {
    let folders = Folders::read(request.paths);
    let budget = tree::Budget::new();
    let (mut documents, mut notices) = (Vec::new(), Vec::new());
    for file in &folders.files {
        for (place, parsed, text) in trees(file, &budget) {
            match parsed {
                Ok(tree) => documents.extend(resiliency(&tree, place).filter(|(_, scopes)| applies(request, scopes))),
                Err(problem) if names_kind(text) => {
                    notices.push(Notice::of_document(&place, format!("Could not parse resiliency file: {problem}")));
                }
                Err(_) => {}
            }
        }
    }
    (documents.into_iter().map(|(document, _)| document).collect(), notices)
}

type Parsed<'f> = (Place, Result<Value, String>, &'f str);

fn trees<'f>(file: &'f SourceFile, budget: &tree::Budget) -> Vec<Parsed<'f>> {
    let place = |document| Place { file: file.file.clone(), document };
    // Most files have no such document, and need no parsing.
    if !names_kind(&file.text) {
        return Vec::new();
    }
    match file.dialect {
        Dialect::Json => vec![(place(1), tree::from_json(&file.text), file.text.as_str())],
        Dialect::Yaml => {
            let chunks = split(&file.text).into_iter().take(MAX_DOCUMENTS).enumerate();
            let chunks = chunks.filter(|(_, chunk)| !is_blank(chunk.text) && names_kind(chunk.text));
            let parse = |(index, chunk): (usize, super::split::Chunk<'f>)| {
                (place(index + 1), tree::from_yaml(chunk.text, chunk.lines_before, budget), chunk.text)
            };
            chunks.map(parse).collect()
        }
    }
}

fn names_kind(text: &str) -> bool {
    text.contains(RESILIENCY)
}

/// The document and its scopes; `None` if it is of another kind.
fn resiliency(tree: &Value, place: Place) -> Option<(ResiliencyDocument, Vec<String>)> {
    let root = tree.as_object().filter(|root| scalar(root.get("kind")).as_deref() == Some(RESILIENCY))?;
    let metadata = |field: &str| root.get("metadata").and_then(|metadata| scalar(metadata.get(field)));
    let spec = root.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
    let scopes = root.get("scopes").and_then(Value::as_array);
    let scopes = scopes.map(|list| list.iter().filter_map(|scope| scalar(Some(scope))).collect()).unwrap_or_default();
    let (name, namespace) = (metadata("name").unwrap_or_default(), metadata("namespace").unwrap_or_default());
    Some((ResiliencyDocument { name, namespace, place, spec }, scopes))
}

fn applies(request: &LoadRequest<'_>, scopes: &[String]) -> bool {
    scopes.is_empty() || request.app_id.is_none_or(|app_id| scopes.iter().any(|scope| scope == app_id))
}

#[cfg(test)]
#[path = "tests/resiliency.rs"]
mod tests;
