//! The data connector of an IoT platform: an object with `type: aws-kinesis`, as another form of the Kinesis output
//! component whose name is its `id`. Pure.
//!
//! ```json
//! {"type": "aws-kinesis", "id": "dc.kinesis.1", "credentials": {"user": "…", "password": "…"}, "region": "us-west-2",
//!  "stream": "test", "shards": 1, "maxRecordsPerShardPerSecond": 1000, "maxBytesPerShardPerSecond": 1000000}
//! ```
//!
//! Its members and their meaning are those of <https://github.com/csip-io/developerhub> (`docs/aws-kinesis.md`).

use super::fault::nearest;
use super::kinds::{CONNECTOR as TYPE, KINESIS};
use super::scalar::scalar;
use super::values::boolean;
use super::{Fault, Faults, Place, parse_size};
use crate::domain::ComponentName;
use serde_json::{Map, Value, json};

const CREDENTIALS: &str = "credentials";
/// The name of the method is accepted under both names, and returned under the first.
const METHOD: [&str; 2] = ["dataProcessingMethodId", "dataProcessingMethod"];
const KNOWN: [&str; 11] = [
    "type",
    "id",
    CREDENTIALS,
    "region",
    "stream",
    "shards",
    "maxRecordsPerShardPerSecond",
    "maxBytesPerShardPerSecond",
    METHOD[0],
    METHOD[1],
    "disabled",
];

/// A member, and the fields of the component that it may stand for; the first unless the component has another.
struct Member {
    name: &'static str,
    fields: &'static [&'static str],
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A whole number above 0.
    Count,
    /// The same; components may have it as a quantity such as `1Mi`.
    Bytes,
    /// A text that is never shown, or a reference to it.
    Secret,
}

const MEMBERS: [Member; 8] = [
    Member { name: "credentials.user", fields: &["accessKey"], kind: Kind::Secret },
    Member { name: "credentials.password", fields: &["secretKey"], kind: Kind::Secret },
    Member { name: "region", fields: &["region", "awsRegion"], kind: Kind::Text },
    Member { name: "stream", fields: &["streamName"], kind: Kind::Text },
    Member { name: "shards", fields: &["shards"], kind: Kind::Count },
    Member { name: "maxRecordsPerShardPerSecond", fields: &["maxRecordsPerShardPerSecond"], kind: Kind::Count },
    Member { name: "maxBytesPerShardPerSecond", fields: &["maxBytesPerShardPerSecond"], kind: Kind::Bytes },
    Member { name: METHOD[0], fields: &["method", METHOD[0]], kind: Kind::Text },
];

/// What is wrong with an object. It contains no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorFault {
    /// The member; empty for the whole object.
    pub member: String,
    pub problem: String,
    pub remedy: String,
}

/// Whether a document is a data connector: it has its type, and is no document of Kubernetes or Dapr.
fn is_data_connector(tree: &Value) -> bool {
    let Value::Object(root) = tree else { return false };
    let is_type = scalar(root.get("type")).is_some_and(|name| name.trim().eq_ignore_ascii_case(TYPE));
    is_type && !root.contains_key("apiVersion") && !root.contains_key("kind")
}

/// The component of a document that is a data connector, or all of its faults; `None` for other documents.
pub(super) fn in_file(tree: &Value, place: &Place) -> Option<Result<Value, Faults>> {
    let read = is_data_connector(tree).then(|| component(tree))?;
    Some(read.map_err(|found| {
        let id = tree.get("id").and_then(Value::as_str);
        let mut faults = Faults::default();
        faults.extend(found.into_iter().map(|fault| {
            let ConnectorFault { member, problem, remedy } = fault;
            let fault = Fault { component: id.map(str::to_owned), ..Fault::of_document(place, problem, remedy) };
            if member.is_empty() { fault } else { fault.field(member) }
        }));
        faults
    }))
}

/// The component document of a whole object.
///
/// # Errors
/// With all faults of the object. What only Kinesis components know, such as the names of regions, is not checked.
pub fn component(object: &Value) -> Result<Value, Vec<ConnectorFault>> {
    let mut reader = Reader::default();
    let read = reader.object(object);
    for (name, remedy) in [
        ("type", "write `aws-kinesis`"),
        ("id", "give it one that is unique in the app, such as `dc.kinesis.1`"),
        ("stream", "name the stream"),
    ] {
        if object.get(name).is_none_or(Value::is_null) && object.is_object() {
            reader.fault(name, "it is missing", remedy);
        }
    }
    let Read { id: Some(id), items, disabled } = read else { return Err(reader.faults) };
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let direction = json!({"name": "direction", "value": "output"});
    let given = items.into_iter().filter_map(|(member, value)| value.map(|value| value.item(member.fields[0])));
    let metadata: Vec<Value> = std::iter::once(direction).chain(given).collect();
    let mut spec = json!({"type": KINESIS, "version": "v1", "metadata": metadata});
    if let (Some(true), Some(spec)) = (disabled, spec.as_object_mut()) {
        spec.insert("disabled".to_owned(), true.into());
    }
    Ok(json!({"apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": id}, "spec": spec}))
}

/// A partial object as a patch of the component document `current` of the connector `id`: `spec.metadata` has only what the
/// object has, and an item for a member that is `null` has the value `null`.
///
/// # Errors
/// With all faults of the object.
pub fn patch(object: &Value, id: &str, current: &Value) -> Result<Value, Vec<ConnectorFault>> {
    let mut reader = Reader::default();
    let read = reader.object(object);
    if read.id.as_deref().is_some_and(|other| other != id) {
        reader.fault("id", "it differs from the one in the path", "leave it out; a connector cannot be renamed");
    }
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let item = |(member, value): (&Member, Option<Given>)| {
        let field = member.fields.iter().find(|field| item_of(current, field).is_some()).unwrap_or(&member.fields[0]);
        value.map_or_else(|| json!({"name": field, "value": null}), |value| value.item(field))
    };
    let metadata: Vec<Value> = read.items.into_iter().map(item).collect();
    let mut patch = json!({"spec": {"metadata": metadata}});
    if let (Some(disabled), Some(root)) = (read.disabled, patch.as_object_mut()) {
        root.insert("disabled".to_owned(), disabled.into());
    }
    Ok(patch)
}

/// The object of a component document, without credentials; `None` unless it is a Kinesis component with
/// `direction: output`. A value that is a reference is left out.
#[must_use]
pub fn object(document: &Value) -> Option<Value> {
    let spec = document.get("spec")?;
    let is_kinesis = scalar(spec.get("type")).is_some_and(|name| name.eq_ignore_ascii_case(KINESIS));
    let is_output = text_of(document, "direction").is_some_and(|text| text.trim().eq_ignore_ascii_case("output"));
    if !is_kinesis || !is_output {
        return None;
    }
    let mut object = Map::new();
    object.insert("type".to_owned(), TYPE.into());
    object.insert("id".to_owned(), scalar(document.get("metadata")?.get("name"))?.into());
    for member in MEMBERS.iter().filter(|member| member.kind != Kind::Secret) {
        let Some(text) = member.fields.iter().find_map(|field| text_of(document, field)) else { continue };
        let value = match member.kind {
            Kind::Text => Some(Value::from(text)),
            Kind::Count => text.trim().parse::<u64>().ok().map(Value::from),
            Kind::Bytes => parse_size(text.trim()).map(Value::from),
            Kind::Secret => None,
        };
        object.extend(value.map(|value| (member.name.to_owned(), value)));
    }
    let is_disabled = scalar(spec.get("disabled")).and_then(|text| boolean(&text)).unwrap_or(false);
    object.insert("disabled".to_owned(), is_disabled.into());
    Some(Value::Object(object))
}

/// The member that stands for a field of the component, for faults of the component; the field itself if there is none.
#[must_use]
pub fn member_of(field: &str) -> &str {
    match field {
        "metadata.name" => "id",
        "spec.disabled" => "disabled",
        "spec.type" => "type",
        field => MEMBERS.iter().find(|member| member.fields.contains(&field)).map_or(field, |member| member.name),
    }
}

/// The item of `spec.metadata` of this name, in any case.
fn item_of<'d>(document: &'d Value, field: &str) -> Option<&'d Value> {
    let items = document.get("spec")?.get("metadata")?.as_array()?;
    items.iter().find(|item| scalar(item.get("name")).is_some_and(|name| name.eq_ignore_ascii_case(field)))
}

fn text_of(document: &Value, field: &str) -> Option<String> {
    scalar(item_of(document, field)?.get("value")).filter(|text| !text.is_empty())
}

/// A value of a member. It may be a secret, so there is no `Debug`.
enum Given {
    Text(String),
    /// `envRef` or `secretKeyRef`, as items of components have them.
    Reference(Map<String, Value>),
}

impl Given {
    fn item(self, name: &str) -> Value {
        match self {
            Self::Text(text) => json!({"name": name, "value": text}),
            Self::Reference(reference) => {
                let mut item = Map::from_iter([("name".to_owned(), Value::from(name))]);
                item.extend(reference);
                Value::Object(item)
            }
        }
    }
}

/// An object that was read; only members that it has. `None` for one that is `null`.
#[derive(Default)]
struct Read {
    id: Option<String>,
    items: Vec<(&'static Member, Option<Given>)>,
    disabled: Option<bool>,
}

#[derive(Default)]
struct Reader {
    faults: Vec<ConnectorFault>,
}

impl Reader {
    fn fault(&mut self, member: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.faults.push(ConnectorFault { member: member.to_owned(), problem: problem.into(), remedy: remedy.into() });
    }

    fn object(&mut self, object: &Value) -> Read {
        let Value::Object(root) = object else {
            self.fault("", "this is not an object", "send a data connector as a JSON object");
            return Read::default();
        };
        self.unknown("", root, &KNOWN);
        match root.get("type") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.trim().eq_ignore_ascii_case(TYPE) => {}
            Some(_) => self.fault("type", "bindd serves no data connector of this type", "write `aws-kinesis`"),
        }
        if METHOD.iter().all(|name| root.contains_key(*name)) {
            self.fault(METHOD[1], format!("`{}` is given too", METHOD[0]), "leave one of them out");
        }
        let id = self.id(root.get("id"));
        let disabled = match root.get("disabled") {
            // `null` is the default, as for the other members.
            Some(Value::Null) => Some(false),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => {
                self.fault("disabled", "this is not a boolean", "write `true` or `false`");
                None
            }
            None => None,
        };
        let mut items = Vec::new();
        for member in &MEMBERS {
            if let Some(value) = self.member_value(root, member) {
                items.push((member, value));
            }
        }
        self.check_credentials(root);
        Read { id, items, disabled }
    }

    fn id(&mut self, value: Option<&Value>) -> Option<String> {
        let remedy = "use letters, digits, `-`, `_` and `.`, as in `dc.kinesis.1`";
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => match text.parse::<ComponentName>() {
                Ok(name) if text.len() <= MAX_ID && !text.contains(char::is_control) => Some(name.to_string()),
                Ok(_) => {
                    self.fault("id", format!("it has more than {MAX_ID} bytes, or a control character"), remedy);
                    None
                }
                Err(_) => {
                    self.fault("id", "it is empty, `.` or `..`, or has `/` or `%`", remedy);
                    None
                }
            },
            Some(_) => {
                self.fault("id", "this is not a text", remedy);
                None
            }
        }
    }

    /// The value of a member that the object has; the inner `None` is `null`.
    fn member_value(&mut self, root: &Map<String, Value>, member: &Member) -> Option<Option<Given>> {
        let value = match member.name.split_once('.') {
            // Without credentials both are removed.
            Some((parent, child)) => match root.get(parent)? {
                Value::Null => &Value::Null,
                credentials => credentials.as_object()?.get(child)?,
            },
            None if member.name == METHOD[0] => METHOD.iter().find_map(|name| root.get(*name))?,
            None => root.get(member.name)?,
        };
        match (member.kind, value) {
            (_, Value::Null) => Some(None),
            (Kind::Text | Kind::Secret, Value::String(text)) if !text.trim().is_empty() => {
                Some(Some(Given::Text(text.clone())))
            }
            (Kind::Text, _) => {
                self.fault(member.name, "this is not a text, or an empty one", "write a text");
                None
            }
            (Kind::Secret, Value::Object(reference)) if is_reference(reference) => {
                Some(Some(Given::Reference(reference.clone())))
            }
            (Kind::Secret, _) => {
                let remedy = "write a text, or `envRef` or `secretKeyRef` as in a component";
                self.fault(member.name, "this is not a text, or an empty one", remedy);
                None
            }
            (Kind::Count | Kind::Bytes, value) => match value.as_u64().filter(|count| *count > 0) {
                Some(count) => Some(Some(Given::Text(count.to_string()))),
                None => {
                    self.fault(member.name, "this is not a whole number above 0", "write one without quotes");
                    None
                }
            },
        }
    }

    fn check_credentials(&mut self, root: &Map<String, Value>) {
        match root.get(CREDENTIALS) {
            None | Some(Value::Null) => {}
            Some(Value::Object(credentials)) => self.unknown("credentials.", credentials, &["user", "password"]),
            Some(_) => {
                let remedy = "write `{\"user\": …, \"password\": …}`: an access key and its secret key";
                self.fault(CREDENTIALS, "this is not an object", remedy);
            }
        }
    }

    fn unknown(&mut self, path: &str, map: &Map<String, Value>, known: &[&'static str]) {
        for (count, name) in map.keys().filter(|name| !known.contains(&name.as_str())).enumerate() {
            if count == MAX_UNKNOWN {
                return self.fault(path.trim_end_matches('.'), "there are more unknown members", "remove them");
            }
            let shown: String = name.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
            let remedy = match nearest(name, known.iter().copied()) {
                Some(known) => format!("did you mean `{path}{known}`?"),
                None => "remove it; PATCH /v1.0-alpha1/components/<id> sets other fields of the component".to_owned(),
            };
            self.fault(&format!("{path}{shown}"), "a data connector has no such member", remedy);
        }
    }
}

/// Longer ids are not accepted, in bytes; a name of Kubernetes has at most as many.
const MAX_ID: usize = 253;
/// Unknown members that are named.
const MAX_UNKNOWN: usize = 20;
/// Characters of an unknown name that are shown.
const MAX_SHOWN: usize = 64;

fn is_reference(map: &Map<String, Value>) -> bool {
    let mut members = map.iter();
    match (members.next(), members.next()) {
        (Some((name, Value::String(variable))), None) => name == "envRef" && !variable.is_empty(),
        (Some((name, Value::Object(_))), None) => name == "secretKeyRef",
        _ => false,
    }
}

#[cfg(test)]
#[path = "tests/data_connector.rs"]
mod tests;
