//! Documents of kind `Method`: programs that components use by name.

use super::fault::nearest;
use super::kinds::METHOD;
use super::scalar::scalar;
use super::{Fault, Faults, LoadRequest, Notice, Place};
use crate::domain::ComponentName;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A named program. What it says is read by those who use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// `metadata.name`
    pub name: ComponentName,
    /// `spec.jq`
    pub program: String,
    pub place: Place,
}

/// The methods for this app, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Methods(BTreeMap<String, Method>);

impl Methods {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Method> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.values()
    }

    /// The name that was most likely meant.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.0.keys().map(String::as_str))
    }

    /// Adds a method.
    ///
    /// # Errors
    /// When an earlier one has its name.
    pub(super) fn add(&mut self, method: Method) -> Result<(), Box<Fault>> {
        let name = method.name.as_str().to_owned();
        if let Some(earlier) = self.0.get(&name) {
            let Place { file, document } = &earlier.place;
            let problem = format!("there is a {METHOD} `{name}` already, in {file}, document {document}");
            let fault = Fault::of_document(&method.place, problem, "rename or remove one of the two");
            return Err(Box::new(Fault { concerns_all: true, ..fault }.field("metadata.name")));
        }
        self.0.insert(name, method);
        Ok(())
    }
}

/// A method as it is in its file.
pub(super) struct MethodDraft {
    pub(super) method: Method,
    pub(super) notices: Vec<Notice>,
    namespace: String,
    scopes: Vec<String>,
}

impl MethodDraft {
    /// Why the sidecar of the request has no use for it.
    pub(super) fn skipped(&self, request: &LoadRequest<'_>) -> Option<Notice> {
        let skip = |text: String| Some(Notice::of_document(&self.method.place, text));
        let name = &self.method.name;
        if let Some(own) = request.namespace.filter(|own| !self.namespace.is_empty() && *own != self.namespace) {
            let other = &self.namespace;
            return skip(format!("{METHOD} `{name}` skipped: it belongs to the namespace `{other}`, not to `{own}`"));
        }
        let app_id = request
            .app_id
            .filter(|app_id| !self.scopes.is_empty() && !self.scopes.iter().any(|scope| scope == app_id))?;
        skip(format!("{METHOD} `{name}` skipped: its `scopes` do not name the app id `{app_id}`"))
    }
}

/// Reads a document of kind `Method`.
///
/// # Errors
/// All faults of the document.
pub(super) fn parse(root: &Map<String, Value>, place: &Place) -> Result<MethodDraft, Faults> {
    let mut faults = Faults::default();
    let mut fault = |field: &str, problem: &str, remedy: &str| {
        faults.push(Fault::of_document(place, problem, remedy).field(field));
    };
    let empty = Map::new();
    let mapping = |field: &str| root.get(field).and_then(Value::as_object).unwrap_or(&empty);
    let (metadata, spec) = (mapping("metadata"), mapping("spec"));
    let name = scalar(metadata.get("name")).unwrap_or_default();
    let name: Option<ComponentName> = match name.parse() {
        Ok(name) => Some(name),
        Err(_) if name.is_empty() => {
            fault("metadata.name", "the method has no name", "give it one; components use it by `method`");
            None
        }
        Err(_) => {
            fault("metadata.name", "this is not a name", "use letters, digits, `-`, `_` and `.`");
            None
        }
    };
    let program = match spec.get("jq") {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
        Some(_) => {
            fault("spec.jq", "this is not a program", "write a jq program as one text, such as `jq: \".order\"`");
            None
        }
        None => {
            fault("spec.jq", "the method has no program", "write a jq program, such as `jq: \".order\"`");
            None
        }
    };
    let scopes = root.get("scopes").and_then(Value::as_array);
    let (Some(name), Some(program)) = (name, program) else { return Err(faults) };
    Ok(MethodDraft {
        notices: [("", root, ROOT_FIELDS), ("spec.", spec, &["jq"])]
            .into_iter()
            .flat_map(|(path, map, known)| unknown_fields(path, map, known, place))
            .collect(),
        method: Method { name, program, place: place.clone() },
        namespace: scalar(metadata.get("namespace")).unwrap_or_default(),
        scopes: scopes.into_iter().flatten().filter_map(|scope| scalar(Some(scope))).collect(),
    })
}

const ROOT_FIELDS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "scopes"];

fn unknown_fields(path: &str, map: &Map<String, Value>, known: &'static [&'static str], place: &Place) -> Vec<Notice> {
    let unknown = map.keys().filter(|field| !known.contains(&field.as_str()));
    let notice = |field: &String| {
        let hint = nearest(field, known.iter().copied()).map(|name| format!(", did you mean `{path}{name}`?"));
        let shown: String = field.chars().take(64).collect();
        Notice::of_document(place, format!("unknown field `{path}{shown}`{}", hint.unwrap_or_default()))
    };
    unknown.map(notice).collect()
}
