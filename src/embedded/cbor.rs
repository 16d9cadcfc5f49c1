//! CBOR, which the AWS SDK for Java and the KCL send to Kinesis by default.
//!
//! The CBOR encoder of ferrokinesis fails here: bindd builds `serde_json` with `arbitrary_precision`, and then every
//! number is encoded as a map. So requests are converted to JSON before ferrokinesis gets them, and its responses and
//! events back to CBOR. That way the other corrections apply to CBOR too.
//!
//! The encoding is that of the SDK for Java, 1.x and 2.x: a blob is a byte string; a timestamp is tag 1 with milliseconds
//! since 1970, where JSON has seconds.

use super::event_stream::map_events;
use super::protocol::{EVENT_STREAM, JSON, content_type, error_response, read_body};
use aws_smithy_types::event_stream::{Header, HeaderValue as EventValue, Message};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use ciborium::Value as Cbor;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Number, Value};
use std::io;

const CBOR: &str = "application/x-amz-cbor-1.1";

/// The tag of an epoch-based time (RFC 8949, 3.4.2). The RFC counts seconds, the SDKs milliseconds.
const EPOCH_TAG: u64 = 1;

/// The members of responses that are timestamps, and the one that is a blob.
const TIMESTAMPS: [&str; 3] = ["ApproximateArrivalTimestamp", "ConsumerCreationTimestamp", "StreamCreationTimestamp"];
const BLOB: &str = "Data";

pub(super) fn is_cbor(headers: &HeaderMap) -> bool {
    content_type(headers) == CBOR
}

/// Converts a request to JSON.
///
/// # Errors
/// An error response if the body is not a CBOR map.
pub(super) async fn request_to_json(request: Request) -> Result<Request, Response> {
    let (mut parts, bytes) = read_body(request).await?;
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    parts.headers.remove(CONTENT_LENGTH);
    if bytes.is_empty() {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    let value = ciborium::from_reader::<Cbor, _>(&bytes[..]).ok().filter(Cbor::is_map);
    match value.as_ref().and_then(to_json) {
        Some(value) => Ok(Request::from_parts(parts, Body::from(value.to_string()))),
        None => Err(error_response("SerializationException", "the request body is not a CBOR map with text keys")),
    }
}

/// Converts a JSON response or an event stream to CBOR; anything else stays as it is.
pub(super) async fn response_to_cbor(response: Response) -> Response {
    match content_type(response.headers()) {
        JSON => {}
        EVENT_STREAM => return response.map(|body| map_events(body, event_to_cbor)),
        _ => return response,
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(CBOR));
    let body = match to_bytes(body, usize::MAX).await {
        Ok(json) if json.is_empty() => Body::empty(),
        Ok(json) => {
            parts.headers.remove(CONTENT_LENGTH);
            payload_to_cbor(&json).map_or_else(failing_body, Body::from)
        }
        Err(error) => failing_body(io::Error::other(error)),
    };
    Response::from_parts(parts, body)
}

/// A body that ends in an error, because the emulator's response could not be read.
fn failing_body(error: io::Error) -> Body {
    tracing::error!(%error, "response of embedded Kinesis could not be converted to CBOR");
    Body::from_stream(futures_util::stream::once(async { Err::<Bytes, _>(error) }))
}

fn payload_to_cbor(json: &[u8]) -> io::Result<Vec<u8>> {
    let value: Value = serde_json::from_slice(json)?;
    let mut bytes = Vec::with_capacity(json.len());
    ciborium::into_writer(&to_cbor("", value), &mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn event_to_cbor(event: Message) -> io::Result<Message> {
    if event.payload().is_empty() {
        return Ok(event);
    }
    let headers = event.headers().iter().map(|header| match header.name().as_str() {
        ":content-type" => Header::new(":content-type", EventValue::String(CBOR.into())),
        _ => header.clone(),
    });
    Ok(Message::new_from_parts(headers.collect(), payload_to_cbor(event.payload())?))
}

/// `None` when a key is not text or JSON has no such number.
fn to_json(value: &Cbor) -> Option<Value> {
    Some(match value {
        Cbor::Bool(flag) => Value::Bool(*flag),
        Cbor::Integer(number) => Value::Number(Number::from_i128((*number).into())?),
        Cbor::Float(number) => Value::Number(Number::from_f64(*number)?),
        Cbor::Text(text) => Value::String(text.clone()),
        Cbor::Bytes(bytes) => Value::String(base64_simd::STANDARD.encode_to_string(bytes)),
        Cbor::Array(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        Cbor::Map(members) => {
            let member = |(key, value): &(Cbor, Cbor)| Some((key.as_text()?.to_owned(), to_json(value)?));
            Value::Object(members.iter().map(member).collect::<Option<Map<_, _>>>()?)
        }
        Cbor::Tag(EPOCH_TAG, time) => Value::Number(Number::from_f64(milliseconds(time)? / 1_000.0)?),
        Cbor::Tag(_, inner) => to_json(inner)?,
        // Null; `Cbor` is non-exhaustive, so this includes kinds that later versions of the crate may add.
        _ => Value::Null,
    })
}

fn milliseconds(time: &Cbor) -> Option<f64> {
    match time {
        Cbor::Integer(number) => Number::from_i128((*number).into())?.as_f64(),
        Cbor::Float(number) => Some(*number),
        _ => None,
    }
}

/// `name` is the member that holds the value: timestamps and blobs are known by their names.
fn to_cbor(name: &str, value: Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(flag),
        Value::Number(number) if TIMESTAMPS.contains(&name) => epoch_tag(&number),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Cbor::from(number),
            (None, Some(number)) => Cbor::from(number),
            (None, None) => Cbor::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) if name == BLOB => match base64_simd::STANDARD.decode_to_vec(&text) {
            Ok(bytes) => Cbor::Bytes(bytes),
            Err(_) => Cbor::Text(text),
        },
        Value::String(text) => Cbor::Text(text),
        Value::Array(items) => Cbor::Array(items.into_iter().map(|item| to_cbor("", item)).collect()),
        Value::Object(members) => Cbor::Map(
            members
                .into_iter()
                .map(|(key, value)| {
                    let value = to_cbor(&key, value);
                    (Cbor::Text(key), value)
                })
                .collect(),
        ),
    }
}

fn epoch_tag(seconds: &Number) -> Cbor {
    let millis = (seconds.as_f64().unwrap_or_default() * 1_000.0).round() as i64;
    Cbor::Tag(EPOCH_TAG, Box::new(Cbor::from(millis)))
}
