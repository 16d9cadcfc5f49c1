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
/// The size that W3C requires to be passed on; more is refused.
const MAX_BAGGAGE: usize = 8192;

/// The trace headers of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TraceContext {
    pairs: Vec<(&'static str, String)>,
}

impl TraceContext {
    /// An invalid `traceparent` is ignored together with `tracestate`, as W3C requires.
    ///
    /// # Errors
    /// When `baggage` is invalid.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, MalformedRequest> {
        let mut pairs = Vec::new();
        if let Some(parent) = joined(headers, &TRACEPARENT).filter(|parent| is_traceparent(parent)) {
            pairs.push((TRACEPARENT.as_str(), parent));
            pairs.extend(joined(headers, &TRACESTATE).map(|state| (TRACESTATE.as_str(), state)));
        }
        if headers.get_all(&BAGGAGE).iter().any(|value| !value.is_empty()) {
            let baggage = joined(headers, &BAGGAGE).ok_or(MalformedRequest::Baggage("it is not plain ASCII text"))?;
            check_baggage(&baggage)?;
            pairs.push((BAGGAGE.as_str(), baggage));
        }
        Ok(Self { pairs })
    }

    /// The span of the client.
    pub(super) fn parent(&self) -> Option<SpanParent<'_>> {
        let value = |name: &HeaderName| self.pairs.iter().find(|(key, _)| *key == name.as_str());
        let context = SpanContext::parse(&value(&TRACEPARENT)?.1)?;
        Some(SpanParent { context, state: value(&TRACESTATE).map_or("", |(_, state)| state) })
    }

    /// What the binding and the client get as `traceparent`.
    pub(super) fn set_span(&mut self, span: SpanContext) {
        let text = span.to_string();
        match self.pairs.iter_mut().find(|(key, _)| *key == TRACEPARENT.as_str()) {
            Some((_, value)) => *value = text,
            None => self.pairs.insert(0, (TRACEPARENT.as_str(), text)),
        }
    }

    /// Adds the headers to the metadata of the request, and replaces pairs of the same name.
    pub(super) fn add_to(&self, metadata: &mut Metadata) {
        for (key, value) in &self.pairs {
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

/// A comma means that the header was repeated, which is invalid.
fn is_traceparent(text: &str) -> bool {
    !text.contains(',') && SpanContext::parse(text).is_some()
}

fn check_baggage(text: &str) -> Result<(), MalformedRequest> {
    if text.len() > MAX_BAGGAGE {
        return Err(MalformedRequest::Baggage("it is longer than 8192 bytes"));
    }
    for member in text.split(',') {
        let pair = member.split(';').next().unwrap_or_default();
        let Some((key, value)) = pair.split_once('=') else {
            return Err(MalformedRequest::Baggage("a member has no `=`"));
        };
        if key.trim().is_empty() || !key.trim().bytes().all(is_token) {
            return Err(MalformedRequest::Baggage("the key of a member is not a token"));
        }
        let is_value = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !value.trim().bytes().all(is_value) {
            return Err(MalformedRequest::Baggage("the value of a member contains a character that must be escaped"));
        }
    }
    Ok(())
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPARENT: &str = "traceparent";
    const TRACESTATE: &str = "tracestate";
    const BAGGAGE: &str = "baggage";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(pairs: &[(&'static str, &str)]) -> Result<TraceContext, MalformedRequest> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        TraceContext::read(&headers)
    }

    #[test]
    fn headers_become_metadata_and_come_back() {
        let context = read(&[
            (TRACEPARENT, PARENT),
            (TRACESTATE, "a=1"),
            (TRACESTATE, "b=2"),
            (BAGGAGE, "k=v;p"),
            (BAGGAGE, "l=w"),
        ])
        .unwrap();
        let mut metadata = Metadata::default();
        metadata.insert(TRACEPARENT, "mine");
        context.add_to(&mut metadata);
        let got = [TRACEPARENT, TRACESTATE, BAGGAGE].map(|key| metadata.get(key));
        assert_eq!(got, [Some(PARENT), Some("a=1,b=2"), Some("k=v;p,l=w")]);
        let mut headers = HeaderMap::new();
        context.echo(&mut headers);
        assert_eq!(headers[TRACEPARENT], PARENT);
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        let zero = "00-00000000000000000000000000000000-0000000000000000-00";
        for bad in ["", "x", zero, &PARENT.to_uppercase(), &PARENT.replacen("00", "ff", 1), &format!("{PARENT}-x")] {
            assert_eq!(read(&[(TRACEPARENT, bad), (TRACESTATE, "a=1")]).unwrap(), TraceContext::default(), "{bad}");
        }
        let later_version = PARENT.replacen("00", "01", 1) + "-x";
        assert_ne!(read(&[(TRACEPARENT, &later_version)]).unwrap(), TraceContext::default());
        for repeated in [[PARENT, PARENT], [&later_version, PARENT]] {
            let repeated = repeated.map(|parent| (TRACEPARENT, parent));
            assert_eq!(read(&repeated).unwrap(), TraceContext::default(), "{repeated:?}");
        }
    }

    #[test]
    fn invalid_baggage_is_refused() {
        for bad in ["k", "=v", "k=v,", "k y=v", "k=\"v\"", &format!("k={}", "v".repeat(MAX_BAGGAGE))] {
            assert!(read(&[(BAGGAGE, bad)]).is_err(), "{bad}");
        }
    }
}
