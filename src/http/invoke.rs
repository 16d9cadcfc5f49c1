//! `POST|PUT /v1.0/bindings/{name}`.

use super::error::{self, MalformedRequest, Manners};
use super::face::Face;
use super::trace::TraceContext;
use super::{body, request};
use crate::domain::InvokeResponse;
use axum::body::Body;
use axum::response::Response;
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
pub(super) async fn invoke(face: &Face, escaped_name: &str, request: Request<Body>) -> Response {
    let name = match unescape(escaped_name) {
        Ok(name) => name,
        Err(escape) => return error::bad_escape(escape),
    };
    let mut tally = Tally::begin(face, &name);
    let mut answer = match perform(face, &name, request, &mut tally).await {
        Ok(answer) => answer,
        Err(malformed) => error::malformed(&malformed, manners(face)),
    };
    tally.answered(answer.status());
    if answer.status() == StatusCode::OK {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    answer
}

async fn perform(
    face: &Face,
    name: &str,
    request: Request<Body>,
    tally: &mut Tally<'_>,
) -> Result<Response, MalformedRequest> {
    let (head, body) = request.into_parts();
    let body = body::read(body, face.settings.max_body_size).await?;
    let mut call = request::parse(&body)?;
    tally.wants(&call.operation);
    let trace = TraceContext::read(&head.headers)?;
    trace.add_to(&mut call.metadata);
    let mut answer = match face.host.invoke(name, call).await {
        Ok(response) => succeeded(response),
        Err(failure) => {
            log(name, &failure);
            error::invoke_failed(name, &failure, manners(face))
        }
    };
    trace.echo(answer.headers_mut());
    Ok(answer)
}

const fn manners(face: &Face) -> Manners {
    if face.settings.strict_dapr_errors { Manners::Strict } else { Manners::True }
}

/// The caller hears the message; the causes behind it are for the log.
fn log(name: &str, failure: &dyn std::error::Error) {
    let mut causes = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::debug!(component = name, error = %causes, "output binding refused a request");
}

fn succeeded(response: InvokeResponse) -> Response {
    let (status, body) = match response.data {
        Some(data) => (StatusCode::OK, Body::from(data)),
        None => (StatusCode::NO_CONTENT, Body::empty()),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    for (key, value) in response.metadata {
        let header = HeaderName::from_bytes(format!("metadata.{key}").as_bytes());
        match (header, HeaderValue::from_str(&value)) {
            (Ok(header), Ok(value)) => drop(answer.headers_mut().insert(header, value)),
            (Err(_), _) | (_, Err(_)) => tracing::warn!(key, "response metadata does not fit into a header"),
        }
    }
    answer
}

/// Go's `QueryUnescape`: `+` is a space, `%xx` a byte. Bytes that are not UTF-8 are replaced; no component has them in
/// its name.
///
/// # Errors
/// With the escape that is wrong.
fn unescape(text: &str) -> Result<Cow<'_, str>, &str> {
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
        Self { face, component, supported, operation: UNKNOWN, begun: Instant::now(), status: None }
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
