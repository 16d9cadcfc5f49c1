//! The W3C headers that travel with a request: `traceparent`, `tracestate`, `baggage`. They are copied into the
//! metadata of the request, and back into the response, as Dapr does. Grammar: <https://www.w3.org/TR/trace-context/> and
//! <https://www.w3.org/TR/baggage/>.

use super::error::MalformedRequest;
use crate::domain::Metadata;
use crate::telemetry::{SpanContext, SpanParent};
use http::{HeaderMap, HeaderName, HeaderValue};

// Not texts, which each lookup would parse.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// The limits that W3C requires to be passed on, and OpenTelemetry enforces; more is refused.
const MAX_BAGGAGE: usize = 8192;
const MAX_MEMBERS: usize = 180;
const MAX_MEMBER: usize = 4096;
/// What daprd uses without a tracer.
const ZERO_PARENT: &str = "00-00000000000000000000000000000000-0000000000000000-00";

/// The trace headers of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    pairs: Vec<(&'static str, String)>,
    /// The request had no valid `traceparent`, so a random one was made.
    is_made: bool,
}

impl TraceContext {
    /// There is always a `traceparent`: an invalid one is replaced together with `tracestate`, as W3C requires. The new one
    /// is random and not sampled, or all zeros with `is_zero`.
    ///
    /// # Errors
    /// When `baggage` is invalid.
    pub fn read(headers: &HeaderMap, is_zero: bool) -> Result<Self, MalformedRequest> {
        let mut pairs = Vec::with_capacity(3);
        let parent = joined(headers, &TRACEPARENT).and_then(|parent| normal_parent(&parent));
        let has_parent = parent.is_some();
        match parent {
            Some(parent) => {
                pairs.push((TRACEPARENT.as_str(), parent));
                pairs.extend(joined(headers, &TRACESTATE).map(|state| (TRACESTATE.as_str(), state)));
            }
            None if is_zero => pairs.push((TRACEPARENT.as_str(), ZERO_PARENT.to_owned())),
            None => pairs.push((TRACEPARENT.as_str(), new_parent(fastrand::u128(1..), fastrand::u64(1..)))),
        }
        if headers.get_all(&BAGGAGE).iter().any(|value| !value.is_empty()) {
            let baggage = joined(headers, &BAGGAGE).ok_or(MalformedRequest::Baggage("it is not plain ASCII text"))?;
            check_baggage(&baggage)?;
            pairs.push((BAGGAGE.as_str(), baggage));
        }
        let is_made = !is_zero && !has_parent;
        Ok(Self { pairs, is_made })
    }

    /// The span of the client, if it sent one.
    pub fn parent(&self) -> Option<SpanParent<'_>> {
        if self.is_made {
            return None;
        }
        let value = |name: &HeaderName| self.pairs.iter().find(|(key, _)| *key == name.as_str());
        let context = SpanContext::parse(&value(&TRACEPARENT)?.1)?;
        Some(SpanParent { context, state: value(&TRACESTATE).map_or("", |(_, state)| state) })
    }

    /// What the binding and the client get as `traceparent`.
    pub fn set_span(&mut self, span: SpanContext) {
        self.is_made = false;
        let text = span.to_string();
        match self.pairs.iter_mut().find(|(key, _)| *key == TRACEPARENT.as_str()) {
            Some((_, value)) => *value = text,
            None => self.pairs.insert(0, (TRACEPARENT.as_str(), text)),
        }
    }

    /// Adds the headers to the metadata of the request, and replaces pairs of the same name. A `traceparent` that was made
    /// does not replace a valid one.
    pub fn add_to(&self, metadata: &mut Metadata) {
        let keeps_parent = self.is_made && metadata.get(TRACEPARENT.as_str()).and_then(normal_parent).is_some();
        for (key, value) in self.pairs.iter().filter(|(key, _)| !keeps_parent || *key != TRACEPARENT.as_str()) {
            metadata.insert(*key, value.as_str());
        }
    }

    /// Copies the headers to the response.
    pub(super) fn echo(&self, headers: &mut HeaderMap) {
        for (key, value) in &self.pairs {
            // A value that came from a header is valid in a header.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(*key, value);
            }
        }
    }
}

/// The values of a header, which may be repeated, as one; `None` if it is absent, empty or not ASCII.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Result<Vec<_>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    values.ok().map(|values| values.join(",")).filter(|value| !value.is_empty())
}

/// A `traceparent` that is not sampled. Neither id may be 0.
fn new_parent(trace: u128, parent: u64) -> String {
    format!("00-{trace:032x}-{parent:016x}-00")
}

/// A valid `traceparent` of `version-traceid-parentid-flags`, as version 00 in lower case; `None` if it is invalid. As in
/// daprd, upper-case digits are accepted. Ids of zeros only are invalid. Later versions may add fields, which are dropped,
/// since W3C has a service answer in its own version. A comma means that the header was repeated, which is invalid too.
fn normal_parent(text: &str) -> Option<String> {
    let mut fields = text.split('-');
    let mut field = |length: usize| {
        fields.next().filter(|field| field.len() == length && field.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    let is_valid = !text.contains(',')
        && !version.eq_ignore_ascii_case("ff")
        && !is_zero(trace)
        && !is_zero(parent)
        && (version != "00" || fields.next().is_none());
    is_valid.then(|| format!("00-{trace}-{parent}-{flags}").to_ascii_lowercase())
}

fn check_baggage(text: &str) -> Result<(), MalformedRequest> {
    if text.len() > MAX_BAGGAGE {
        return Err(MalformedRequest::Baggage("it is longer than 8192 bytes"));
    }
    if text.split(',').count() > MAX_MEMBERS {
        return Err(MalformedRequest::Baggage("it has more than 180 members"));
    }
    text.split(',').try_for_each(check_member)
}

fn check_member(member: &str) -> Result<(), MalformedRequest> {
    if member.len() > MAX_MEMBER {
        return Err(MalformedRequest::Baggage("a member is longer than 4096 bytes"));
    }
    let mut parts = member.split(';');
    let pair = parts.next().unwrap_or_default();
    let (key, value) = pair.split_once('=').ok_or(MalformedRequest::Baggage("a member has no `=`"))?;
    if !is_key(key) {
        return Err(MalformedRequest::Baggage("the key of a member is not a token"));
    }
    check_value(value)?;
    parts.try_for_each(|property| match property.split_once('=') {
        Some((key, value)) if is_key(key) => check_value(value),
        None if is_key(property) => Ok(()),
        Some(_) | None => Err(MalformedRequest::Baggage("the key of a property is not a token")),
    })
}

fn check_value(value: &str) -> Result<(), MalformedRequest> {
    let value = value.trim();
    if !value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        return Err(MalformedRequest::Baggage("a value contains a character that must be escaped"));
    }
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if value.split('%').skip(1).all(is_escape) {
        Ok(())
    } else {
        Err(MalformedRequest::Baggage("a value has an invalid % escape"))
    }
}

fn is_key(text: &str) -> bool {
    !text.trim().is_empty() && text.trim().bytes().all(is_token)
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[path = "tests/trace.rs"]
mod tests;
