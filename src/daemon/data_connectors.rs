//! Data connectors over the components API: each is the Kinesis output component of its name.

use super::catalog::Entry;
use super::change::Write;
use super::components_api::{ComponentsApi, Reply};
use crate::http::{
    Caller, ChangeOptions, ComponentRefusal, ComponentReply, ConnectorCall, DocumentFault, DocumentText,
    ManageConnectors, RefusalKind, Success,
};
use crate::manifest::RawDocument;
use crate::manifest::data_connector::{ConnectorFault, member_of};
use async_trait::async_trait;
use serde_json::{Value, json};

#[async_trait]
impl ManageConnectors for ComponentsApi {
    async fn call_connector(&self, call: ConnectorCall, caller: Caller) -> Reply {
        match call {
            ConnectorCall::List => Ok(list(self)),
            ConnectorCall::Get { id } => show(self, &id),
            ConnectorCall::Create { object, options } => create(self, &object, options, caller).await,
            ConnectorCall::Update { id, object, options } => {
                let entry = existing(self, &id)?;
                let patch = entry.document.connector_patch(&id, text(&object)?).map_err(wrong_object)?;
                write(self, &id, Write::Patch(patch), (caller, options)).await
            }
            ConnectorCall::Delete { id, options } => {
                let deleted = match existing(self, &id) {
                    Ok(_) => self.delete(id, (caller, options)).await.map(|_| 1)?,
                    Err(_) if options.if_match.is_some() => {
                        let message = format!("there is no data connector `{id}`, so If-Match cannot hold");
                        return Err(ComponentRefusal::new(RefusalKind::Precondition, message));
                    }
                    Err(_) => 0,
                };
                Ok(reply(None, None, json!({ "nrOfItems": deleted })))
            }
            ConnectorCall::Test { object } => {
                let document = RawDocument::of_connector(text(&object)?).map_err(wrong_object)?;
                verdict(self.test(document.name().unwrap_or_default(), Some(document), caller).await?)
            }
            ConnectorCall::TestExisting { id } => {
                existing(self, &id)?;
                verdict(self.test(id, None, caller).await?)
            }
        }
    }
}

async fn create(api: &ComponentsApi, object: &DocumentText, options: ChangeOptions, caller: Caller) -> Reply {
    let document = RawDocument::of_connector(text(object)?).map_err(wrong_object)?;
    let id = document.name().unwrap_or_default();
    write(api, &id, Write::CreateConnector(document), (caller, options)).await
}

/// The data connector as the change has left it.
async fn write(api: &ComponentsApi, id: &str, write: Write, request: (Caller, ChangeOptions)) -> Reply {
    let (entry, _, _) = api.written(id.to_owned(), write, request).await.map_err(about_members)?;
    Ok(shown(api, id, &entry))
}

fn connectors(api: &ComponentsApi) -> Vec<Value> {
    api.catalog.all().values().filter_map(|entry| entry.document.connector()).collect()
}

/// All on one page.
fn list(api: &ComponentsApi) -> ComponentReply {
    let connectors = connectors(api);
    let count = connectors.len();
    let page = json!({
        "total": count, "itemCount": count, "numOfPages": 1, "pageNo": 1, "skip": 0, "results": connectors,
    });
    reply(None, None, page)
}

fn existing(api: &ComponentsApi, id: &str) -> Result<Entry, ComponentRefusal> {
    api.catalog.get(id).filter(|entry| entry.document.connector().is_some()).ok_or_else(|| {
        let message = format!(
            "there is no data connector `{id}`: GET …/dataconnectors lists them; a Kinesis component is one only with \
             `direction: output`"
        );
        ComponentRefusal::new(RefusalKind::NotFound, message)
    })
}

fn show(api: &ComponentsApi, id: &str) -> Reply {
    Ok(shown(api, id, &existing(api, id)?))
}

fn shown(api: &ComponentsApi, id: &str, entry: &Entry) -> ComponentReply {
    let etag = Some(api.catalog.etag(&entry.document));
    reply(Some(id), etag, entry.document.connector().unwrap_or_default())
}

fn reply(id: Option<&str>, etag: Option<String>, body: Value) -> ComponentReply {
    ComponentReply { success: Success::Done, name: id.map(str::to_owned), etag, body: Some(body) }
}

fn text(object: &DocumentText) -> Result<&str, ComponentRefusal> {
    std::str::from_utf8(&object.text).map_err(|error| {
        let problem = format!("the body is not UTF-8 text (byte {})", error.valid_up_to());
        wrong_object(vec![ConnectorFault { member: String::new(), problem, remedy: "send JSON in UTF-8".to_owned() }])
    })
}

fn wrong_object(faults: Vec<ConnectorFault>) -> ComponentRefusal {
    let fault = |fault: ConnectorFault| {
        let ConnectorFault { member, problem, remedy } = fault;
        DocumentFault { field: member, problem, remedy }
    };
    ComponentRefusal::invalid(faults.into_iter().map(fault).collect())
}

/// Names the members of the object in place of the fields of the component. Fields of other components are left.
fn about_members(mut refusal: ComponentRefusal) -> ComponentRefusal {
    if refusal.kind == RefusalKind::InUse {
        return refusal;
    }
    for fault in &mut refusal.faults {
        fault.field = member_of(&fault.field).to_owned();
    }
    refusal
}

/// The result of a test.
///
/// # Errors
/// With each check that failed.
fn verdict(tested: ComponentReply) -> Reply {
    let checks = tested.body.as_ref().and_then(|body| body["checks"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let failed: Vec<_> = checks.iter().filter(|check| check["ok"] != true).map(failed_check).collect();
    if failed.is_empty() {
        return Ok(without_identity(tested));
    }
    let refusal = ComponentRefusal::invalid(failed);
    Err(about_members(ComponentRefusal { kind: RefusalKind::TestFailed, ..refusal }))
}

/// Without the end of the access key: of a data connector no part of the credentials is returned.
fn without_identity(mut tested: ComponentReply) -> ComponentReply {
    let checks = tested.body.as_mut().and_then(|body| body.get_mut("checks")).and_then(Value::as_array_mut);
    for check in checks.into_iter().flatten().filter(|check| check["tried"] == "credentials") {
        if let Some(check) = check.as_object_mut() {
            check.shift_remove("hint");
        }
    }
    tested
}

fn failed_check(check: &Value) -> DocumentFault {
    let text = |name: &str| check[name].as_str().unwrap_or_default();
    if check["check"] == "validate" {
        let [field, problem, remedy] = ["field", "problem", "remedy"].map(|name| text(name).to_owned());
        return DocumentFault { field, problem, remedy };
    }
    let problem = format!("{} of {}: {}", text("tried"), text("resource"), text("result"));
    DocumentFault { field: String::new(), problem, remedy: text("hint").to_owned() }
}
