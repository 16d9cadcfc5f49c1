//! `POST|PUT /v1.0/bindings/{name}`.

use super::body::{self, Refused};
use super::buffer::{Buffer, Full};
use super::connection::RequestBody;
use super::error::{self, MalformedRequest, Manners, Meant};
use super::face::Face;
use super::trace::TraceContext;
use super::{raw, request};
use crate::domain::{BindingError, Extent, FailureKind, InvokeResponse, Outcome, OutputBinding, cause_line};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// Stands for names that are not ours, so that callers cannot grow the metrics.
const UNKNOWN: &str = "unknown";
/// How a request is counted that the client gave up; nobody sees it on the wire.
const CLIENT_GONE: u16 = 499;

/// Performs one call and answers it.
pub(super) async fn invoke(
    face: &Face,
    buffer: &Buffer,
    escaped_name: &str,
    request: Request<impl RequestBody>,
) -> Response {
    let name = match unescape(escaped_name) {
        Ok(name) => name,
        Err(escape) => {
            let (head, body) = request.into_parts();
            let mut answer = error::bad_escape(escape);
            body::skip(body, &head, &mut answer).await;
            return answer;
        }
    };
    let version = request.version();
    let mut tally = Tally::begin(face, &name);
    let mut answer = match perform(face, buffer, request, &mut tally).await {
        Ok(answer) => answer,
        Err(refused) => {
            let mut answer = error::unread(&name, &refused.error, manners(face));
            if !refused.is_read {
                body::close_after(&mut answer, version);
            }
            answer
        }
    };
    tally.answered(answer.status());
    if matches!(answer.status(), StatusCode::OK | StatusCode::MULTI_STATUS) {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    answer
}

async fn perform(
    face: &Face,
    buffer: &Buffer,
    request: Request<impl RequestBody>,
    tally: &mut Tally<'_>,
) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    // The share is kept until the answer is made: so long the component may hold the body.
    let (body, mut share) = body::read(body, &head, face.settings.max_body_size, buffer).await?;
    let raw_keys = tally.output.and_then(OutputBinding::raw_body_keys).filter(|_| raw::is_raw(&head.headers));
    let mut call = match raw_keys {
        Some(keys) => raw::request(&head.headers, body.clone(), keys)?,
        None => request::parse(&body).map_err(|error| raw::explain(error, &head.headers, &body))?,
    };
    share.grow(call.metadata.memory()).map_err(|Full { limit }| MalformedRequest::BufferFull { limit })?;
    tally.wants(&call.operation);
    // Data that is JSON reads as a request that asks for nothing.
    let is_data = raw_keys.is_none() && call.operation.is_empty() && raw::is_raw(&head.headers);
    let meant = if is_data { Meant::Data } else { Meant::Request };
    let trace = TraceContext::read(&head.headers)?;
    trace.add_to(&mut call.metadata);
    call.data = body::kept(call.data);
    // Head and body are slices of what the connection reads into, and would keep all of it while the component works.
    drop((head, body));
    let name = tally.name;
    // Biased: a component that knows what became of the request is heard.
    let done = tokio::select! {
        biased;
        done = face.host.invoke(name, call) => done,
        () = face.last_answers.asked() => Err(unfinished().into()),
    };
    let mut answer = match done {
        Ok(response) => succeeded(response, manners(face)),
        Err(failure) => {
            log(name, &failure);
            error::invoke_failed(name, &failure, meant, manners(face))
        }
    };
    trace.echo(answer.headers_mut());
    Ok(answer)
}

/// The time for a graceful stop is over, and the component is still at it.
fn unfinished() -> BindingError {
    let text = "the sidecar stopped before the service answered: the request may have been carried out or not";
    BindingError::new(FailureKind::Closed, text).with_outcome(Outcome::Unknown)
}

const fn manners(face: &Face) -> Manners {
    if face.settings.strict_dapr_errors { Manners::Strict } else { Manners::True }
}

/// The caller hears the message; the causes behind it are for the log. As values, which the log escapes: the caller's
/// own words are in both.
fn log(name: &str, failure: &(dyn std::error::Error + 'static)) {
    tracing::debug!(component = name, error = cause_line(failure), "output binding refused a request");
}

fn succeeded(response: InvokeResponse, manners: Manners) -> Response {
    let status = match (&response.data, response.extent, manners) {
        (Some(_), Extent::Mixed, Manners::True) => StatusCode::MULTI_STATUS,
        (Some(_), Extent::Whole | Extent::Mixed, _) => StatusCode::OK,
        (None, Extent::Whole | Extent::Mixed, _) => StatusCode::NO_CONTENT,
    };
    let mut answer = Response::new(response.data.map_or_else(Body::empty, Body::from));
    *answer.status_mut() = status;
    if status == StatusCode::NO_CONTENT && manners == Manners::Strict {
        return answer;
    }
    for (key, value) in response.metadata {
        match (header_name(key), HeaderValue::from_maybe_shared(Bytes::from(value))) {
            (Some(name), Ok(value)) => drop(answer.headers_mut().insert(name, value)),
            (None, _) | (_, Err(_)) => tracing::warn!(key, "response metadata does not fit into a header"),
        }
    }
    answer
}

/// `metadata.<key>`; those of every single record need no building.
fn header_name(key: &str) -> Option<HeaderName> {
    match key {
        "sequenceNumber" => Some(HeaderName::from_static("metadata.sequencenumber")),
        "shardId" => Some(HeaderName::from_static("metadata.shardid")),
        "attempts" => Some(HeaderName::from_static("metadata.attempts")),
        _ => HeaderName::from_bytes(format!("metadata.{key}").as_bytes()).ok(),
    }
}

/// Go's `QueryUnescape`: `+` is a space, `%xx` a byte. Bytes that are not UTF-8 are replaced; no component has them in
/// its name.
///
/// # Errors
/// With the escape that is wrong.
pub(super) fn unescape(text: &str) -> Result<Cow<'_, str>, &str> {
    if !text.contains(['+', '%']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(['+', '%']) {
        let (plain, special) = rest.split_at(place);
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = special.strip_prefix('+') {
            bytes.push(b' ');
            rest = after;
            continue;
        }
        let digits = special.get(1..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return Err(special.get(..3).unwrap_or(special));
        };
        bytes.push(byte);
        rest = &special[3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Counts a request exactly once, also when its handler panics or the client goes away.
struct Tally<'a> {
    face: &'a Face,
    name: &'a str,
    output: Option<&'a dyn OutputBinding>,
    component: &'a str,
    supported: &'a [&'static str],
    operation: &'static str,
    begun: Instant,
    status: Option<StatusCode>,
}

impl<'a> Tally<'a> {
    fn begin(face: &'a Face, name: &'a str) -> Self {
        let output = face.host.output(name);
        let component = if output.is_some() { name } else { UNKNOWN };
        let supported = output.map_or(&[][..], |output| output.operations());
        Self { face, name, output, component, supported, operation: UNKNOWN, begun: Instant::now(), status: None }
    }

    fn wants(&mut self, operation: &str) {
        let known = self.supported.iter().find(|known| **known == operation);
        self.operation = known.copied().unwrap_or(UNKNOWN);
    }

    const fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    fn status(&self) -> u16 {
        match self.status {
            Some(status) => status.as_u16(),
            None if std::thread::panicking() => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            None => CLIENT_GONE,
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let took: Duration = self.begun.elapsed();
        self.face.metrics.answered(self.component, self.operation, self.status(), took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped_as_go_does() {
        for (escaped, name) in [("orders", "orders"), ("a%20b+c", "a b c"), ("%C3%BC", "ü"), ("%ff", "\u{fffd}")] {
            assert_eq!(unescape(escaped).unwrap(), name);
        }
        for (escaped, escape) in [("a%zz", "%zz"), ("a%2", "%2"), ("%", "%"), ("%+1", "%+1")] {
            assert_eq!(unescape(escaped).unwrap_err(), escape);
        }
    }
}
