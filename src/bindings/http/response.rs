//! What the app gets of a response.

use crate::domain::{BindingError, FailureKind, InvokeResponse, Outcome, ReservedMemory};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// Body, which may be empty, status and headers, as Dapr returns them: several values of a header are joined by commas.
pub(super) fn succeeded(response: Response<Bytes>) -> InvokeResponse {
    let (mut head, body) = response.into_parts();
    let memory = head.extensions.remove::<ReservedMemory>().unwrap_or_default();
    let metadata = metadata(head.status, &head.headers);
    InvokeResponse { data: Some(body), metadata, memory, ..InvokeResponse::default() }
}

fn metadata(status: StatusCode, headers: &HeaderMap) -> Vec<(Cow<'static, str>, String)> {
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let mut metadata = vec![
        ("statusCode".into(), status.as_str().to_owned()),
        ("status".into(), format!("{}{reason}", status.as_str())),
    ];
    metadata.extend(joined(headers).into_iter().map(|(name, value)| (name.into(), value)));
    metadata
}

fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(canonical(name.as_str()))
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    joined
}

/// The form in which Go has the names of headers: `Content-Type`.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// The error of a status other than 2xx, with Dapr's text. As in Dapr, its status and headers are metadata too.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap) -> BindingError {
    let (kind, outcome) = match status.as_u16() {
        429 => (FailureKind::Throttled, Outcome::NotDone),
        408 | 500..=599 => (FailureKind::Transient, Outcome::Unknown),
        _ => (FailureKind::Permanent, Outcome::NotDone),
    };
    let error = BindingError::new(kind, format!("received status code {}", status.as_str()))
        .with_outcome(outcome)
        .with_detail("statusCode", status.as_str());
    let error =
        metadata(status, headers).into_iter().fold(error, |error, (key, value)| error.with_metadata(key, value));
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match seconds {
        Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn status_and_headers_are_metadata() {
        let mut response = Response::new(Bytes::from_static(b"hello"));
        *response.status_mut() = StatusCode::CREATED;
        for (name, value) in [("x-one", "1"), ("content-type", "text/plain"), ("x-one", "2")] {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let response = succeeded(response);
        let metadata: Vec<_> = response.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(metadata, ["statusCode=201", "status=201 Created", "Content-Type=text/plain", "X-One=1, 2"]);
        assert_eq!(response.data.as_deref(), Some(&b"hello"[..]));
        assert_eq!(succeeded(Response::new(Bytes::new())).data.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_status_other_than_2xx_says_whether_it_was_done() {
        for (status, kind, outcome) in [
            (404, FailureKind::Permanent, Outcome::NotDone),
            (302, FailureKind::Permanent, Outcome::NotDone),
            (429, FailureKind::Throttled, Outcome::NotDone),
            (503, FailureKind::Transient, Outcome::Unknown),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
            let error = refused(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!((error.kind(), error.outcome()), (kind, outcome));
            assert_eq!(error.to_string(), format!("received status code {status}"));
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
            assert_eq!(error.metadata()[0], ("statusCode".into(), status.to_string()));
            assert_eq!(error.metadata()[2], ("Retry-After".into(), "7".to_owned()));
        }
    }
}
