//! `/v3/apps/<app-id>/dataconnectors`: data connectors, with the paths, statuses and errors of the platform that they
//! come from (<https://github.com/csip-io/developerhub>, `docs/aws-kinesis.md` and `docs/api/errorhandling.md`).

use super::admission::ConnectInfo;
use super::component_calls::{
    Caller, ComponentRefusal, ComponentReply, ConnectorCall, DocumentFault, DocumentText, ManageComponents, RefusalKind,
};
use super::components::{change_options, document_response, succeeded};
use super::document_text;
use super::endpoint::ConnectorEndpoint;
use super::error::ApiError;
use super::invoke::unescape;
use super::read_body::UnreadBody;
use super::state::ApiState;
use crate::domain::app_id_or_default;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// Relative to the sidecar that answers: its description of this API.
const MORE_INFO: &str = "/v1.0-alpha1/openapi.json";

/// One error. A response with an error has a list of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorEntry<'a> {
    code: &'static str,
    /// For developers: what is wrong.
    cause: String,
    /// For users: what to do.
    message: &'a str,
    more_info_url: &'static str,
}

/// The response to a request whose caller was authenticated.
pub(super) async fn respond(
    state: &ApiState,
    manage: &dyn ManageComponents,
    endpoint: ConnectorEndpoint,
    (head, body): (Parts, Body),
    info: ConnectInfo,
) -> Response {
    let id = match id(state, head.uri.path()) {
        Ok(id) => id,
        Err(mut response) => {
            UnreadBody::new(&head, body).skip(&mut response).await;
            return *response;
        }
    };
    let (object, unread) = if endpoint.has_body() {
        match document_text::read(state, &head, body, |error| refused(&error)).await {
            Ok(object) => (object, None),
            Err(response) => return response,
        }
    } else {
        (DocumentText { text: Bytes::new(), is_yaml: false }, Some(UnreadBody::new(&head, body)))
    };
    let caller = Caller { peer: info.peer(), token: state.settings.admin_token_name };
    let result = match call(endpoint, id, object, &head) {
        Ok(call) => manage.call_connector(call, caller).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match result {
        Ok(reply) => {
            let reply = ComponentReply { name: None, ..reply };
            if endpoint == ConnectorEndpoint::Get { document_response(&head, reply) } else { succeeded(reply) }
        }
        Err(refusal) => failed(&refusal),
    };
    if let Some(unread) = unread {
        unread.skip(&mut response).await;
    }
    response
}

fn call(
    endpoint: ConnectorEndpoint,
    id: String,
    object: DocumentText,
    head: &Parts,
) -> Result<ConnectorCall, ComponentRefusal> {
    let options = || change_options(head);
    Ok(match endpoint {
        ConnectorEndpoint::List => ConnectorCall::List,
        ConnectorEndpoint::Create => ConnectorCall::Create { object, options: options()? },
        ConnectorEndpoint::Get => ConnectorCall::Get { id },
        ConnectorEndpoint::Update => ConnectorCall::Update { id, object, options: options()? },
        ConnectorEndpoint::Delete => ConnectorCall::Delete { id, options: options()? },
        ConnectorEndpoint::Test => ConnectorCall::Test { object },
        ConnectorEndpoint::TestExisting => ConnectorCall::TestExisting { id },
    })
}

/// The id in the path; empty where there is none.
fn id(state: &ApiState, path: &str) -> Result<String, Box<Response>> {
    let mut segments = path.split('/').skip(3);
    let mut next = |parameter| {
        let segment = segments.next().unwrap_or_default();
        let segment = unescape(segment).map_err(|escape| Box::new(refused(&ApiError::BadEscape { parameter, escape })));
        segment.map(std::borrow::Cow::into_owned)
    };
    let app = next("app")?;
    let app_id = app_id_or_default(&state.app_id);
    if app != app_id {
        let message = format!("this sidecar is for the app `{app_id}`");
        return Err(Box::new(failed(&ComponentRefusal::new(RefusalKind::NotFound, message))));
    }
    next("dataconnectors")?;
    next("id")
}

/// The response to a request that was refused before its call.
pub(super) fn refused(error: &ApiError<'_>) -> Response {
    let (status, message) = error.status_and_message();
    let (code, cause) = match status {
        StatusCode::UNAUTHORIZED => ("Unauthorized", "The token is missing or wrong"),
        StatusCode::FORBIDDEN => ("AccessDenied", "The request is not allowed from there"),
        StatusCode::PAYLOAD_TOO_LARGE => ("RequestTooLarge", "The body is too large"),
        StatusCode::REQUEST_TIMEOUT => ("RequestTimeout", "The body was not sent in time"),
        StatusCode::SERVICE_UNAVAILABLE => ("ServiceUnavailable", "There is no memory for the body"),
        _ => ("InvalidRequest", "The request cannot be read"),
    };
    let mut response = respond_with(status, &[ErrorEntry::new(code, cause.to_owned(), &message)]);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The response to a call that failed.
fn failed(refusal: &ComponentRefusal) -> Response {
    let (status, code, cause) = describe(refusal.kind);
    let mut errors: Vec<_> = refusal.faults.iter().map(|fault| ErrorEntry::of_fault(code, fault)).collect();
    if errors.is_empty() {
        errors.push(ErrorEntry::new(code, cause.to_owned(), &refusal.message));
    }
    let mut response = respond_with(status, &errors);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Status, code and cause of a refusal. Those of the platform where it has one.
const fn describe(kind: RefusalKind) -> (StatusCode, &'static str, &'static str) {
    match kind {
        RefusalKind::Invalid => (StatusCode::BAD_REQUEST, "InvalidRequest", "The data connector is not valid"),
        RefusalKind::NotFound => (StatusCode::NOT_FOUND, "ResourceNotFound", "Resource not found"),
        RefusalKind::Exists => (StatusCode::CONFLICT, "Conflict", "A component has this id"),
        RefusalKind::Conflict => (StatusCode::CONFLICT, "Conflict", "The files do not allow the change"),
        RefusalKind::InUse => (StatusCode::CONFLICT, "Conflict", "Other components need the data connector"),
        RefusalKind::Precondition => {
            (StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "The data connector was changed meanwhile")
        }
        RefusalKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", "The document is too large"),
        RefusalKind::Full => (StatusCode::TOO_MANY_REQUESTS, "TooManyConnectors", "There are too many data connectors"),
        RefusalKind::Unusable | RefusalKind::TimedOut | RefusalKind::TestFailed => {
            (StatusCode::NOT_ACCEPTABLE, "TestFailed", "The test of the data connector failed")
        }
        RefusalKind::NotWritten => (StatusCode::INTERNAL_SERVER_ERROR, "ServerError", "The change was not written"),
        RefusalKind::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "The sidecar is stopping"),
    }
}

impl<'a> ErrorEntry<'a> {
    const fn new(code: &'static str, cause: String, message: &'a str) -> Self {
        Self { code, cause, message, more_info_url: MORE_INFO }
    }

    fn of_fault(code: &'static str, fault: &'a DocumentFault) -> Self {
        let cause = match fault.field.as_str() {
            "" => fault.problem.clone(),
            member => format!("{member}: {}", fault.problem),
        };
        Self::new(code, cause, &fault.remedy)
    }
}

fn respond_with(status: StatusCode, errors: &[ErrorEntry<'_>]) -> Response {
    // Strings in a fixed structure can always be serialised.
    let bytes = serde_json::to_vec(errors).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], bytes).into_response()
}
