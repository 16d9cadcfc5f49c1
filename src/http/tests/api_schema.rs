//! The description of the API, as schemas for what is sent and received. Tests of the daemon use this file too.

use boon::{Compiler, SchemaIndex, Schemas};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;

/// The document as it is written.
pub(crate) const DOCUMENT: &str = include_str!("../openapi.json");
const LOCATION: &str = "http://bindd.test/openapi.json";

/// The document and its compiled schemas. An object may only have the members that the document names.
pub(crate) struct ApiSchema {
    document: Value,
    compiler: Compiler,
    schemas: Schemas,
}

impl ApiSchema {
    pub(crate) fn new(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).unwrap();
        let mut closed = document.clone();
        close_objects(&mut closed);
        let mut compiler = Compiler::new();
        compiler.add_resource(LOCATION, closed).unwrap();
        Self { document, compiler, schemas: Schemas::new() }
    }

    pub(crate) const fn document(&self) -> &Value {
        &self.document
    }

    /// What a pointer leads to, or what that refers to, and the pointer to it.
    pub(crate) fn resolve(&self, pointer: &str) -> Option<(&Value, String)> {
        let found = self.document.pointer(pointer)?;
        match found.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.resolve(reference.strip_prefix('#')?),
            None => Some((found, pointer.to_owned())),
        }
    }

    /// The schema at a pointer such as `/components/schemas/Error`. Panics unless it is a schema of JSON Schema 2020-12.
    pub(crate) fn compile(&mut self, pointer: &str) -> SchemaIndex {
        let location = format!("{LOCATION}#{}", pointer.replace('{', "%7B").replace('}', "%7D"));
        self.compiler.compile(&location, &mut self.schemas).unwrap_or_else(|error| panic!("{location}: {error:#}"))
    }

    /// Panics unless the value is as the schema at the pointer says.
    pub(crate) fn check(&mut self, pointer: &str, value: &Value) {
        let schema = self.compile(pointer);
        if let Err(error) = self.schemas.validate(value, schema) {
            panic!("{value} is not as {pointer} says: {error:#}");
        }
    }

    /// Panics unless the operation documents the response: its status, media type, body and headers.
    pub(crate) fn check_response(&mut self, operation: &str, status: u16, headers: &HeaderMap, body: &[u8]) {
        let pointer = format!("{operation}/responses/{status}");
        let Some((response, pointer)) = self.resolve(&pointer) else { panic!("{pointer} is not documented") };
        let (response, shown) = (response.clone(), String::from_utf8_lossy(body));
        let media_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap().split(';').next().unwrap());
        match (media_type, response.get("content")) {
            (None, None) => assert_eq!(shown, "", "{pointer}"),
            (Some(media_type), Some(content)) => {
                assert!(content.get(media_type).is_some(), "{media_type} is not documented at {pointer}: {shown}");
                let value = match media_type {
                    "application/json" => serde_json::from_slice(body).unwrap(),
                    _ => Value::from(&*shown),
                };
                self.check(&format!("{pointer}/content/{}/schema", media_type.replace('/', "~1")), &value);
            }
            (sent, documented) => panic!("{sent:?} was sent and {documented:?} is documented at {pointer}: {shown}"),
        }
        let documented = response.get("headers").and_then(Value::as_object).into_iter().flatten();
        for (name, _) in documented.clone() {
            let Some(value) = headers.get(name.as_str()) else { continue };
            let text = value.to_str().unwrap();
            let value = text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
            let (_, header) = self.resolve(&format!("{pointer}/headers/{name}")).unwrap();
            let is_number = self.document.pointer(&format!("{header}/schema/type")) == Some(&Value::from("integer"));
            self.check(&format!("{header}/schema"), &if is_number { value } else { Value::from(text) });
        }
        let tells_when = documented.map(|(name, _)| name).any(|name| name.eq_ignore_ascii_case(RETRY_AFTER.as_str()));
        assert!(tells_when || !headers.contains_key(RETRY_AFTER), "Retry-After is not documented at {pointer}");
    }
}

/// Clients must ignore members that they do not know. Here each must be documented.
fn close_objects(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("type").is_some_and(|name| name == "object") && members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(false.into());
            }
            members.values_mut().for_each(close_objects);
        }
        Value::Array(elements) => elements.iter_mut().for_each(close_objects),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
