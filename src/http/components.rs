//! `/v1.0-alpha1/components`: reads the requests, and writes the answers of [`ManageComponents`].

use super::admission::ConnectInfo;
use super::component_calls::{
    Caller, ChangeOptions, ComponentCall, ComponentRefusal, ComponentReply, DocumentFault, DocumentText,
    ManageComponents, Success,
};
use super::component_status::with_sides;
use super::document_text;
use super::endpoint::{COMPONENTS, ComponentEndpoint};
use super::entity_tags::names_tag_weakly;
use super::error::ApiError;
use super::invoke::unescape;
use super::json_response::json_response;
use super::read_body::UnreadBody;
use super::state::ApiState;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use std::borrow::Cow;

/// Characters of an unknown parameter that are shown.
const MAX_SHOWN: usize = 64;

/// The response to a request whose caller was authenticated.
pub(super) async fn respond(
    state: &ApiState,
    manage: &dyn ManageComponents,
    endpoint: ComponentEndpoint,
    (head, body): (Parts, Body),
    info: ConnectInfo,
) -> Response {
    let name = match name_of(endpoint, head.uri.path()) {
        Ok(name) => name.into_owned(),
        Err(escape) => {
            let error = ApiError::BadEscape { parameter: "name", escape };
            return UnreadBody::new(&head, body).refuse(error).await;
        }
    };
    let (document, unread) = if endpoint.has_body() {
        match document_text::read(state, &head, body, refused).await {
            Ok(document) => (document, None),
            Err(response) => return response,
        }
    } else {
        let none = DocumentText { text: bytes::Bytes::new(), is_yaml: false };
        (none, Some(UnreadBody::new(&head, body)))
    };
    let caller = Caller { peer: info.peer(), token: state.settings.admin_token_name };
    let result = match call(endpoint, name, document, &head) {
        Ok(call) => manage.call(call, caller).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match result {
        Ok(reply) => match endpoint {
            ComponentEndpoint::Status => succeeded(with_sides(state, reply)),
            ComponentEndpoint::Get => document_response(&head, reply),
            _ => succeeded(reply),
        },
        Err(refusal) => ApiError::Component(&refusal).into_response(),
    };
    if let Some(unread) = unread {
        unread.skip(&mut response).await;
    }
    response
}

fn call(
    endpoint: ComponentEndpoint,
    name: String,
    document: DocumentText,
    head: &Parts,
) -> Result<ComponentCall, ComponentRefusal> {
    let query = head.uri.query().unwrap_or_default();
    let options = || change_options(head);
    Ok(match endpoint {
        ComponentEndpoint::List => {
            ComponentCall::List { component_type: parameter(query, "type").map(Cow::into_owned) }
        }
        ComponentEndpoint::Get => ComponentCall::Get { name },
        ComponentEndpoint::Status => ComponentCall::Status { name },
        ComponentEndpoint::Create => ComponentCall::Create { document, options: options()? },
        ComponentEndpoint::Replace => ComponentCall::Replace { name, document, options: options()? },
        ComponentEndpoint::Patch => ComponentCall::Patch { name, patch: document, options: options()? },
        ComponentEndpoint::Enable => ComponentCall::SetDisabled { name, disabled: false, options: options()? },
        ComponentEndpoint::Disable => ComponentCall::SetDisabled { name, disabled: true, options: options()? },
        ComponentEndpoint::Delete => ComponentCall::Delete { name, options: options()? },
        ComponentEndpoint::Test => ComponentCall::Test { document },
        ComponentEndpoint::TestExisting => ComponentCall::TestExisting { name },
    })
}

/// # Errors
/// When the query has anything but one `persist` with a boolean: a change that is only in memory must not be taken for one
/// that is in a file.
pub(super) fn change_options(head: &Parts) -> Result<ChangeOptions, ComponentRefusal> {
    let mut given = None;
    for pair in head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "persist" {
            let shown = name.chars().take(MAX_SHOWN).collect();
            return Err(wrong_parameter(shown, "there is no such parameter"));
        }
        let persist = match unescape(value).as_deref() {
            Ok("true" | "1") => true,
            Ok("false" | "0") => false,
            Ok(_) | Err(_) => return Err(wrong_parameter(name.to_owned(), "this is not a boolean")),
        };
        if given.replace(persist).is_some() {
            return Err(wrong_parameter(name.to_owned(), "it is given more than once"));
        }
    }
    let (if_match, if_none_match) = (header(head, &IF_MATCH), header(head, &IF_NONE_MATCH));
    Ok(ChangeOptions { if_match, if_none_match, persist: given.unwrap_or(false) })
}

fn wrong_parameter(field: String, problem: &str) -> ComponentRefusal {
    let remedy =
        "the one parameter of a change is `persist`; write `persist=true`, `persist=false`, or none".to_owned();
    ComponentRefusal::invalid(vec![DocumentFault { field, problem: problem.to_owned(), remedy }])
}

/// All values of a header, as one list. One that is not UTF-8 counts too, as a condition must not be ignored.
fn header(head: &Parts, name: &HeaderName) -> Option<String> {
    let values = head.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The first parameter of this name in a query.
fn parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        unescape(value).ok().filter(|_| key == name)
    })
}

/// The name in the path; empty where there is none.
fn name_of(endpoint: ComponentEndpoint, path: &str) -> Result<Cow<'_, str>, &str> {
    if !endpoint.has_name() {
        return Ok(Cow::Borrowed(""));
    }
    let rest = path.strip_prefix(COMPONENTS).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    unescape(rest.split('/').next().unwrap_or_default())
}

fn refused(error: ApiError<'_>) -> Response {
    error.into_response()
}

/// The response to the read of a document: 304 if the client has it already.
pub(super) fn document_response(head: &Parts, reply: ComponentReply) -> Response {
    let known = header(head, &IF_NONE_MATCH).zip(reply.etag.as_ref());
    if known.is_none_or(|(list, etag)| !names_tag_weakly(&list, etag)) {
        return succeeded(reply);
    }
    let mut response = succeeded(ComponentReply { body: None, ..reply });
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

pub(super) fn succeeded(reply: ComponentReply) -> Response {
    let ComponentReply { success, name, etag, body } = reply;
    let mut response = body.map_or_else(Response::default, |body| json_response(&body));
    if response.status() == StatusCode::OK {
        *response.status_mut() = match success {
            Success::Done => StatusCode::OK,
            Success::Created => StatusCode::CREATED,
            Success::Deleted => StatusCode::NO_CONTENT,
        };
    }
    let mut insert = |header: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(header, value);
        }
    };
    if let Some(etag) = etag {
        insert(ETAG, format!("\"{etag}\""));
    }
    if let (Success::Created, Some(name)) = (success, name) {
        insert(LOCATION, format!("{COMPONENTS}/{}", escaped(&name)));
    }
    response
}

/// A name as a segment of a path.
fn escaped(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped_from_the_path_and_escaped_in_the_location() {
        for (path, name) in [("/a%20b", "a b"), ("/orders/status", "orders"), ("/x%2Fy/test", "x/y")] {
            let path = format!("{COMPONENTS}{path}");
            assert_eq!(name_of(ComponentEndpoint::Get, &path).unwrap(), name);
        }
        assert_eq!(name_of(ComponentEndpoint::Get, "/v1.0-alpha1/components/%zz"), Err("%zz"));
        assert_eq!(escaped("a b/ü-1.x"), "a%20b%2F%C3%BC-1.x");
    }

    #[test]
    fn parameters_of_the_query_are_found_by_name() {
        assert_eq!(parameter("a=1&type=bindings.aws%2Ekinesis", "type").as_deref(), Some("bindings.aws.kinesis"));
        assert_eq!((parameter("persist", "persist").as_deref(), parameter("", "persist")), (Some(""), None));
    }

    #[test]
    fn a_change_takes_one_persist_and_no_other_parameter() {
        let read = |query: &str| {
            let request = http::Request::get(format!("/v1.0-alpha1/components?{query}")).body(()).unwrap();
            change_options(&request.into_parts().0).map(|options| options.persist)
        };
        for (query, persist) in [("", false), ("persist=true", true), ("persist=1&", true), ("persist=%66alse", false)]
        {
            assert_eq!(read(query), Ok(persist), "{query}");
        }
        for (query, problem) in [
            ("persist", "field `persist`: this is not a boolean"),
            ("persist=", "field `persist`: this is not a boolean"),
            ("persist=True", "field `persist`: this is not a boolean"),
            ("persist=%zz", "field `persist`: this is not a boolean"),
            ("persist=false&persist=true", "field `persist`: it is given more than once"),
            ("presist=true", "field `presist`: there is no such parameter"),
            ("persist=true&dryRun=1", "field `dryRun`: there is no such parameter"),
        ] {
            let refusal = read(query).unwrap_err();
            assert!(refusal.message.starts_with(problem) && refusal.message.contains("persist=true"), "{refusal:?}");
        }
    }
}
