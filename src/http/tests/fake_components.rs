//! Components that are managed only in appearance: the name in the path, or else the document, says how a call ends.

use super::super::{
    Caller, ComponentCall, ComponentRefusal, ComponentReply, ConnectorCall, DocumentFault, ManageComponents,
    ManageConnectors, RefusalKind, Success,
};
use async_trait::async_trait;
use serde_json::{Value, json};

/// How a call may end besides success, by the word that a test sends.
pub(super) const ENDINGS: [(&str, RefusalKind); 13] = [
    ("invalid", RefusalKind::Invalid),
    ("absent", RefusalKind::NotFound),
    ("exists", RefusalKind::Exists),
    ("changed", RefusalKind::Precondition),
    ("conflict", RefusalKind::Conflict),
    ("used", RefusalKind::InUse),
    ("large", RefusalKind::TooLarge),
    ("full", RefusalKind::Full),
    ("unusable", RefusalKind::Unusable),
    ("late", RefusalKind::TimedOut),
    ("failing", RefusalKind::TestFailed),
    ("unwritten", RefusalKind::NotWritten),
    ("stopping", RefusalKind::Stopping),
];

#[derive(Debug)]
pub(super) struct FakeComponents;

fn refusal(word: &str) -> Option<ComponentRefusal> {
    let (_, kind) = ENDINGS.iter().find(|(known, _)| *known == word)?;
    let fault = DocumentFault { field: "shards".into(), problem: "it is wrong".into(), remedy: "correct it".into() };
    Some(match kind {
        RefusalKind::Invalid => ComponentRefusal::invalid(vec![fault]),
        RefusalKind::TestFailed | RefusalKind::InUse => {
            ComponentRefusal { kind: *kind, ..ComponentRefusal::invalid(vec![fault]) }
        }
        kind => ComponentRefusal::new(*kind, "it cannot be done"),
    })
}

fn status() -> Value {
    json!({"state": "running", "etag": "a1", "persisted": true, "file": "orders.yaml"})
}

fn document() -> Value {
    json!({
        "apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": "orders"},
        "spec": {"type": "bindings.aws.kinesis", "version": "v1", "metadata": [{"name": "secretKey", "value": "***"}]},
        "status": status(),
    })
}

fn reply(success: Success, body: Value) -> ComponentReply {
    let body = Some(body).filter(|body| !body.is_null());
    ComponentReply { success, name: Some("orders".to_owned()), etag: Some("a1".to_owned()), body }
}

#[async_trait]
impl ManageComponents for FakeComponents {
    async fn call(&self, call: ComponentCall, _caller: Caller) -> Result<ComponentReply, ComponentRefusal> {
        let text = |document: &super::super::DocumentText| String::from_utf8_lossy(&document.text).into_owned();
        let tested = json!({"ok": true, "checks": [{"check": "validate", "ok": true}]});
        let (word, reply) = match &call {
            ComponentCall::List { .. } => (String::new(), reply(Success::Done, json!({"components": [document()]}))),
            ComponentCall::Get { name } => (name.clone(), reply(Success::Done, document())),
            ComponentCall::Status { name } => (name.clone(), reply(Success::Done, status())),
            ComponentCall::Create { document: sent, .. } => (text(sent), reply(Success::Created, document())),
            ComponentCall::Replace { name, document: sent, .. } => {
                let success = if text(sent) == "new" { Success::Created } else { Success::Done };
                (name.clone(), reply(success, document()))
            }
            ComponentCall::Patch { name, .. } | ComponentCall::SetDisabled { name, .. } => {
                (name.clone(), reply(Success::Done, document()))
            }
            ComponentCall::Delete { name, .. } => (name.clone(), reply(Success::Deleted, Value::Null)),
            ComponentCall::Test { document } => (text(document), reply(Success::Done, tested)),
            ComponentCall::TestExisting { name } => (name.clone(), reply(Success::Done, tested)),
        };
        refusal(&word).map_or(Ok(reply), Err)
    }
}

#[async_trait]
impl ManageConnectors for FakeComponents {
    async fn call_connector(&self, call: ConnectorCall, _caller: Caller) -> Result<ComponentReply, ComponentRefusal> {
        let text = |object: &super::super::DocumentText| String::from_utf8_lossy(&object.text).into_owned();
        let connector = json!({"type": "aws-kinesis", "id": "dc.kinesis.1", "stream": "test", "disabled": false});
        let tested = json!({"ok": true, "checks": [{"check": "validate", "ok": true}]});
        let page = json!({
            "total": 1, "itemCount": 1, "numOfPages": 1, "pageNo": 1, "skip": 0, "results": [&connector],
        });
        let (word, body) = match &call {
            ConnectorCall::List => (String::new(), page),
            ConnectorCall::Create { object, .. } => (text(object), connector),
            ConnectorCall::Get { id } | ConnectorCall::Update { id, .. } => (id.clone(), connector),
            ConnectorCall::Delete { id, .. } => (id.clone(), json!({"nrOfItems": 1})),
            ConnectorCall::Test { object } => (text(object), tested),
            ConnectorCall::TestExisting { id } => (id.clone(), tested),
        };
        refusal(&word).map_or_else(|| Ok(reply(Success::Done, body)), Err)
    }
}
