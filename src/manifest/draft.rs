//! A `Component` document as it is in its file, without the values of its items.

use super::data_connector;
use super::document::log_name;
use super::fault::{Fault, Faults, Notice, Place, nearest};
use super::kinds::{METHOD, RESILIENCY, TypeClass, classify};
use super::method::{self, MethodDraft};
use super::parse_duration;
use super::raw_document::RawDocument;
use super::scalar::scalar;
use super::values::boolean;
use crate::domain::ComponentName;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

const API_VERSION: &str = "dapr.io/v1alpha1";
const KIND: &str = "Component";
/// Dapr's default, also for an invalid value.
const DEFAULT_INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A document with unresolved references.
pub(super) struct Draft {
    pub(super) place: Place,
    pub(super) name: ComponentName,
    pub(super) component_type: String,
    pub(super) version: String,
    pub(super) ignore_errors: bool,
    pub(super) disabled: bool,
    pub(super) init_timeout: Duration,
    pub(super) namespace: String,
    pub(super) scopes: Vec<String>,
    pub(super) secret_store: String,
    pub(super) items: Vec<DraftItem>,
    /// Items whose name, with case, another item has that comes before them.
    pub(super) repeated: Vec<DraftItem>,
    /// As it was written.
    pub(super) source: Arc<RawDocument>,
    pub(super) faults: Faults,
    pub(super) notices: Vec<Notice>,
}

impl Draft {
    /// Dapr's name of a component in logs and errors.
    pub(super) fn log_name(&self) -> String {
        log_name(self.name.as_str(), &self.component_type, &self.version)
    }
}

pub(super) struct DraftItem {
    pub(super) name: String,
    pub(super) source: Source,
}

/// Where an item's value comes from.
pub(super) enum Source {
    Literal(String),
    Variable(String),
    Secret { name: String, key: String },
}

pub(super) enum Parsed {
    Component(Box<Draft>),
    Method(Box<MethodDraft>),
    /// A component of a type that bindd does not serve; only its type and name were read.
    Skipped {
        name: Option<String>,
        component_type: String,
    },
    /// Not a component, with the reason.
    Other {
        name: Option<String>,
        notice: String,
    },
    /// Another part of bindd reads it.
    ReadElsewhere,
    /// Not a mapping: a list or a single value.
    NotAMapping(&'static str),
    Broken(Faults),
}

/// Reads a document without the values of its items. Finds every fault, not only the first. `plugged` are types that are
/// served beside bindd's own.
pub(super) fn parse(tree: &Value, place: Place, plugged: &[String]) -> Parsed {
    match data_connector::in_file(tree, &place) {
        Some(Ok(component)) => return parse(&component, place, plugged),
        Some(Err(faults)) => return Parsed::Broken(faults),
        None => {}
    }
    let root = match tree {
        Value::Object(root) => root,
        Value::Array(list) => return Parsed::NotAMapping(list_text(list)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Parsed::NotAMapping("the document is a single value, not a mapping");
        }
    };
    let (api_version, kind) = (scalar(root.get("apiVersion")), scalar(root.get("kind")));
    if kind.as_deref() == Some(RESILIENCY) {
        return Parsed::ReadElsewhere;
    }
    if api_version.as_deref() == Some(API_VERSION) && kind.as_deref() == Some(METHOD) {
        return method::parse(root, &place).map_or_else(Parsed::Broken, |draft| Parsed::Method(Box::new(draft)));
    }
    if api_version.as_deref() != Some(API_VERSION) || kind.as_deref() != Some(KIND) {
        let shown = |word: Option<String>| {
            word.map_or("nothing".to_owned(), |word| format!("`{}`", word.chars().take(64).collect::<String>()))
        };
        let mut text = format!(
            "skipped: `kind` is {} and `apiVersion` is {}; only `{KIND}`, `{RESILIENCY}` and `{METHOD}` of `{API_VERSION}` are loaded",
            shown(kind.clone()),
            shown(api_version)
        );
        if kind.as_deref() == Some("Configuration") {
            text.push_str("; name the file of a Configuration by --config");
        }
        if root.get("items").and_then(Value::as_array).is_some_and(|items| items.iter().any(is_served)) {
            text.push_str("; write each component of `items` as its own document, with `---` between");
        }
        return Parsed::Other { name: name_of(root), notice: text };
    }
    let is_skipped = |name: &String| classify(name) == TypeClass::Skipped && !plugged.contains(&name.to_lowercase());
    if let Some(component_type) = type_of(root).filter(is_skipped) {
        return Parsed::Skipped { name: name_of(root), component_type };
    }
    let mut parser = DocumentParser { place, component: None, faults: Faults::default(), notices: Vec::new() };
    let draft = parser.draft(root);
    match draft {
        Some(draft) => Parsed::Component(Box::new(Draft { faults: parser.faults, notices: parser.notices, ..draft })),
        None => Parsed::Broken(parser.faults),
    }
}

fn list_text(list: &[Value]) -> &'static str {
    if list.iter().any(is_served) {
        "the document is a list, not a mapping; write each component as its own document, with `---` between"
    } else {
        "the document is a list, not a mapping"
    }
}

/// Whether bindd would load this component if it were a separate document.
fn is_served(value: &Value) -> bool {
    let root = value.as_object().filter(|root| scalar(root.get("kind")).as_deref() == Some(KIND));
    root.and_then(type_of).is_some_and(|name| classify(&name) == TypeClass::Served)
}

fn name_of(root: &Map<String, Value>) -> Option<String> {
    root.get("metadata").and_then(|metadata| scalar(metadata.get("name")))
}

fn type_of(root: &Map<String, Value>) -> Option<String> {
    root.get("spec").and_then(|spec| scalar(spec.get("type")))
}

/// Reads one document and collects its faults and notices.
struct DocumentParser {
    place: Place,
    component: Option<String>,
    faults: Faults,
    notices: Vec<Notice>,
}

impl DocumentParser {
    fn fault(&mut self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let mut fault = Fault::of_document(&self.place, problem, remedy).field(field);
        fault.component.clone_from(&self.component);
        self.faults.push(fault);
    }

    fn notice(&mut self, text: String) {
        let mut notice = Notice::of_document(&self.place, text);
        notice.component.clone_from(&self.component);
        self.notices.push(notice);
    }

    fn draft(&mut self, root: &Map<String, Value>) -> Option<Draft> {
        let empty = Map::new();
        let metadata = self.mapping(root, "metadata").unwrap_or(&empty);
        let name = self.name(metadata);
        let spec = self.mapping(root, "spec").unwrap_or(&empty);
        self.unknown_fields("", root, &["apiVersion", "kind", "metadata", "spec", "scopes", "auth"]);
        self.unknown_fields("spec.", spec, &["type", "version", "ignoreErrors", "disabled", "initTimeout", "metadata"]);
        let component_type = scalar(spec.get("type")).filter(|text| !text.is_empty());
        if component_type.is_none() {
            self.fault("spec.type", "the type is missing", "name one, such as `bindings.aws.kinesis`");
        }
        let (items, repeated) = self.items(spec);
        let draft = Draft {
            place: self.place.clone(),
            name: name?,
            component_type: component_type?,
            version: scalar(spec.get("version")).unwrap_or_default(),
            ignore_errors: self.flag(spec, "ignoreErrors"),
            disabled: self.flag(spec, "disabled"),
            init_timeout: self.init_timeout(spec),
            namespace: scalar(metadata.get("namespace")).unwrap_or_default(),
            scopes: self.scopes(root),
            secret_store: self
                .mapping(root, "auth")
                .and_then(|auth| scalar(auth.get("secretStore")))
                .unwrap_or_default(),
            items,
            repeated,
            source: Arc::new(RawDocument::of(root.clone())),
            faults: Faults::default(),
            notices: Vec::new(),
        };
        Some(draft)
    }

    fn mapping<'m>(&mut self, parent: &'m Map<String, Value>, field: &str) -> Option<&'m Map<String, Value>> {
        match parent.get(field) {
            Some(Value::Object(map)) => Some(map),
            None | Some(Value::Null) => None,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                self.fault(field, "this is not a mapping", "write names and values, one a line, indented below it");
                None
            }
        }
    }

    fn name(&mut self, metadata: &Map<String, Value>) -> Option<ComponentName> {
        let Some(text) = scalar(metadata.get("name")) else {
            self.fault("metadata.name", "the component has no name", "give it one; the app calls it by this name");
            return None;
        };
        match text.parse::<ComponentName>() {
            Ok(name) => {
                self.component = Some(text);
                Some(name)
            }
            Err(error) => {
                self.fault("metadata.name", error.to_string(), "use letters, digits, `-`, `_` and `.`");
                None
            }
        }
    }

    /// False if it is not given.
    fn flag(&mut self, spec: &Map<String, Value>, name: &str) -> bool {
        let Some(value) = spec.get(name).filter(|value| !value.is_null()) else { return false };
        // Dapr reads YAML 1.1, which has more booleans (such as `yes`) than the parser here. It returns those as
        // strings.
        scalar(Some(value)).and_then(|text| boolean(&text)).unwrap_or_else(|| {
            self.fault(&format!("spec.{name}"), "this is not a boolean", "write `true` or `false`");
            false
        })
    }

    /// As in Dapr, a duration that is invalid or not above zero is replaced by the default. Unlike Dapr, this gives a
    /// notice.
    fn init_timeout(&mut self, spec: &Map<String, Value>) -> Duration {
        let Some(text) = scalar(spec.get("initTimeout")).filter(|text| !text.is_empty()) else {
            return DEFAULT_INIT_TIMEOUT;
        };
        match parse_duration(&text) {
            Ok(timeout) if !timeout.is_zero() => timeout,
            Ok(_) | Err(_) => {
                let shown: String = text.chars().take(64).collect();
                self.notice(format!(
                    "`spec.initTimeout` is `{shown}`, not a duration above zero; the default of 5s is used"
                ));
                DEFAULT_INIT_TIMEOUT
            }
        }
    }

    fn scopes(&mut self, root: &Map<String, Value>) -> Vec<String> {
        match root.get("scopes") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => {
                let scopes: Vec<String> = list.iter().filter_map(|scope| scalar(Some(scope))).collect();
                if scopes.len() < list.len() {
                    self.fault("scopes", "a scope is not a text", "list app ids");
                }
                scopes
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                self.fault("scopes", "this is not a list", "list app ids, one `- id` a line");
                Vec::new()
            }
        }
    }

    /// The items, and those whose name is taken.
    fn items(&mut self, spec: &Map<String, Value>) -> (Vec<DraftItem>, Vec<DraftItem>) {
        let list = match spec.get("metadata") {
            None | Some(Value::Null) => return <_>::default(),
            Some(Value::Array(list)) => list,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                self.fault("spec.metadata", "this is not a list", "list items with `name` and `value`");
                return <_>::default();
            }
        };
        let (mut items, mut repeated) = (Vec::new(), Vec::new());
        let mut seen = std::collections::HashMap::new();
        for (number, entry) in list.iter().enumerate() {
            let Some(item) = self.item(entry, number + 1) else { continue };
            if let Some(earlier) = seen.insert(item.name.to_lowercase(), item.name.clone()) {
                if earlier == item.name {
                    repeated.push(item);
                } else {
                    let problem = format!("the item is also given as `{earlier}`; case makes no difference");
                    self.fault(&item.name, problem, "keep one of the two");
                }
                continue;
            }
            items.push(item);
        }
        (items, repeated)
    }

    fn item(&mut self, entry: &Value, number: usize) -> Option<DraftItem> {
        let field = format!("spec.metadata[{number}]");
        let Value::Object(entry) = entry else {
            self.fault(&field, "the item is not a mapping", "write `- name: …` and `value: …`");
            return None;
        };
        let Some(name) = scalar(entry.get("name")).filter(|name| !name.is_empty()) else {
            self.fault(&field, "the item has no name", "write `- name: …` and `value: …`");
            return None;
        };
        self.unknown_fields(&format!("{field}."), entry, &["name", "value", "envRef", "secretKeyRef"]);
        let source = self.source(entry, &name)?;
        Some(DraftItem { name, source })
    }

    /// As in Dapr, a reference with an empty name is ignored: Go programs write `secretKeyRef: {name: "", key: ""}`
    /// next to each value. An empty value next to a reference is ignored too.
    fn source(&mut self, entry: &Map<String, Value>, item: &str) -> Option<Source> {
        let text = |map: &Map<String, Value>, field| scalar(map.get(field)).filter(|text: &String| !text.is_empty());
        let written = entry.get("value").filter(|value| !value.is_null()).map(text_of).unwrap_or_default();
        let variable = text(entry, "envRef");
        match entry.get("secretKeyRef") {
            Some(Value::Object(reference)) => match (text(reference, "name"), text(reference, "key")) {
                (Some(name), key) => return Some(Source::Secret { key: key.unwrap_or_else(|| name.clone()), name }),
                // Without another value, ignoring it would leave the field empty.
                (None, Some(_)) if written.is_empty() && variable.is_none() => {
                    self.fault(item, "`secretKeyRef` has a `key`, but no `name`", "write the secret's name");
                    return None;
                }
                (None, Some(_) | None) => {}
            },
            None | Some(Value::Null) => {}
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                self.fault(item, "`secretKeyRef` is not a mapping", "write `name` and `key` below it");
                return None;
            }
        }
        match variable {
            Some(variable) if written.is_empty() => Some(Source::Variable(variable)),
            Some(_) | None => Some(Source::Literal(written)),
        }
    }

    fn unknown_fields(&mut self, path: &str, map: &Map<String, Value>, known: &[&'static str]) {
        for field in map.keys().filter(|field| !known.contains(&field.as_str())) {
            let shown: String = field.chars().take(64).collect();
            let hint = nearest(field, known.iter().copied()).map(|name| format!(", did you mean `{path}{name}`?"));
            self.notice(format!("unknown field `{path}{shown}`{}", hint.unwrap_or_default()));
        }
    }
}

/// Lists and mappings become their compact JSON, as in Dapr.
fn text_of(value: &Value) -> String {
    scalar(Some(value)).unwrap_or_else(|| value.to_string())
}
