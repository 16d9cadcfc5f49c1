//! The document is OpenAPI, and its routes are those of the router.

use super::super::endpoint::{self, Endpoint, OTHER_BLOCKS, ROUTES};
use super::api_schema::{ApiSchema, DOCUMENT};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Every value of the document with its pointer.
fn walk<'v>(value: &'v Value, pointer: &str, found: &mut Vec<(String, &'v Value)>) {
    found.push((pointer.to_owned(), value));
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| walk(member, &format!("{pointer}/{}", escaped(key)), found));
        }
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(at, element)| walk(element, &format!("{pointer}/{at}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn all(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    walk(document, "", &mut found);
    found
}

/// Method and path of each operation, and the operation.
pub(super) fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &'_ Value)| -> Vec<(String, String)> {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(|method| (method.to_ascii_uppercase(), path.clone())).collect()
    };
    let routes: Vec<_> = paths.iter().flat_map(of_path).collect();
    routes
        .into_iter()
        .map(|(method, path)| {
            let operation = &document["paths"][&path][method.to_ascii_lowercase()];
            (method, path, operation)
        })
        .collect()
}

#[test]
fn the_document_is_openapi() {
    let rules: Value = serde_json::from_str(include_str!("openapi_rules.json")).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("http://bindd.test/rules.json", rules).unwrap();
    let mut schemas = boon::Schemas::new();
    let rules = compiler.compile("http://bindd.test/rules.json", &mut schemas).unwrap();
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap();
    schemas.validate(&document, rules).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    document["paths"]["/v1.0/metadata"]["get"]["respones"] = json!({});
    assert!(schemas.validate(&document, rules).is_err(), "the rules find a misspelt member");
}

#[test]
fn every_schema_is_valid_and_every_part_is_used() {
    let mut schema = ApiSchema::new(DOCUMENT);
    let document = schema.document().clone();
    let all = all(&document);
    let used: BTreeSet<&str> =
        all.iter().filter(|(pointer, _)| pointer.ends_with("/$ref")).filter_map(|(_, value)| value.as_str()).collect();
    for reference in &used {
        assert!(schema.resolve(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    // What a result may be is described in words.
    let in_words = ["ItemPage", "Attributes"].map(|name| format!("#/components/schemas/{name}"));
    for (kind, parts) in document["components"].as_object().unwrap() {
        for name in parts.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(reference.as_str()) || in_words.contains(&reference), "{reference} is not used");
        }
    }
    let is_schema = |pointer: &str| {
        pointer.ends_with("/schema") || pointer.starts_with("/components/schemas/") && pointer.matches('/').count() == 3
    };
    let schemas: Vec<_> = all.iter().map(|(pointer, _)| pointer).filter(|pointer| is_schema(pointer)).collect();
    assert!(schemas.len() > 30, "{schemas:?}");
    for pointer in schemas {
        schema.compile(pointer);
    }
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).map(Value::to_string).collect();
    let operations = operations(&document);
    let of_operations = operations.iter().flat_map(|(_, _, operation)| operation["tags"].as_array().unwrap());
    assert_eq!(of_operations.map(Value::to_string).collect::<BTreeSet<_>>(), tags);
    let ids: BTreeSet<_> = operations.iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
    assert_eq!(ids.len(), operations.len(), "each operation has an id of its own");
}

#[test]
fn the_document_has_the_routes_of_the_router_and_no_others() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let documented: BTreeSet<_> = operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let served: BTreeSet<_> = ROUTES.iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(served.len(), ROUTES.len(), "a route is in the table twice");
    assert_eq!(documented, served);
    for route in &ROUTES {
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        let id = operation["operationId"].as_str().unwrap();
        assert!(id.starts_with(route.endpoint.name()), "{id} is not named as in the log");
        assert_eq!(operation["servers"].as_array().map_or(1, Vec::len) == 2, route.endpoint.is_public(), "{id}");
        assert_eq!(operation["security"] == json!([]), route.endpoint.is_health(), "{id}");
        let item = &document["paths"][route.path]["parameters"];
        let parameters = [item, &operation["parameters"]].into_iter().filter_map(Value::as_array).flatten();
        let in_path = parameters.filter(|parameter| parameter["in"] == "path").map(|one| one["name"].as_str().unwrap());
        let in_template = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(in_path.collect::<BTreeSet<_>>(), in_template.collect::<BTreeSet<_>>(), "{id}");
    }
}

#[test]
fn what_is_not_served_is_listed() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let blocks: Vec<&str> = OTHER_BLOCKS.iter().map(|(segment, _)| *segment).collect();
    assert_eq!(document["x-not-served"], json!(blocks));
    for segment in blocks {
        let path = format!("/v1.0/{segment}/x");
        assert!(endpoint::other_block(&path).is_some() && Endpoint::of(&http::Method::GET, &path).is_none(), "{path}");
    }
}
