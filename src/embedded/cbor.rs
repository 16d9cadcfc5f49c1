//! CBOR, which the AWS SDK for Java and the KCL speak to Kinesis by default.
//!
//! The emulator's own CBOR writer fails in this crate: bindd builds `serde_json` with `arbitrary_precision`, and with it
//! every number goes into CBOR as a map. So requests are translated into JSON before the emulator sees them, and its
//! answers and events back. That way the other corrections apply to CBOR too.
//!
//! The forms are those of the SDK for Java, 1.x and 2.x: a blob is a byte string; a timestamp is tag 1 with milliseconds
//! since 1970, where JSON has seconds.

use super::frames::map_events;
use super::shim::{EVENT_STREAM, JSON, content_type, read_body, refusal};
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

/// The members of answers that are timestamps, and the one that is a blob.
const TIMESTAMPS: [&str; 3] = ["ApproximateArrivalTimestamp", "ConsumerCreationTimestamp", "StreamCreationTimestamp"];
const BLOB: &str = "Data";

/// Whether a request speaks CBOR.
pub(super) fn is_spoken(headers: &HeaderMap) -> bool {
    content_type(headers) == CBOR
}

/// The same request in JSON.
///
/// # Errors
/// With the answer to a body that is not a CBOR map.
pub(super) async fn request_in_json(request: Request) -> Result<Request, Response> {
    let (mut parts, bytes) = read_body(request).await?;
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    parts.headers.remove(CONTENT_LENGTH);
    if bytes.is_empty() {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    let value = ciborium::from_reader::<Cbor, _>(&bytes[..]).ok().filter(Cbor::is_map);
    match value.as_ref().and_then(json_of) {
        Some(value) => Ok(Request::from_parts(parts, Body::from(value.to_string()))),
        None => Err(refusal("SerializationException", "the request body is not a CBOR map with text keys")),
    }
}

/// The same answer in CBOR; what is not JSON stays as it is.
pub(super) async fn answer_in_cbor(answer: Response) -> Response {
    match content_type(answer.headers()) {
        JSON => {}
        EVENT_STREAM => return answer.map(|body| map_events(body, event_in_cbor)),
        _ => return answer,
    }
    let (mut parts, body) = answer.into_parts();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(CBOR));
    let body = match to_bytes(body, usize::MAX).await {
        Ok(json) if json.is_empty() => Body::empty(),
        Ok(json) => {
            parts.headers.remove(CONTENT_LENGTH);
            payload_in_cbor(&json).map_or_else(broken, Body::from)
        }
        Err(error) => broken(io::Error::other(error)),
    };
    Response::from_parts(parts, body)
}

/// A body that breaks off: the emulator's answer could not be read.
fn broken(error: io::Error) -> Body {
    tracing::error!(%error, "answer of embedded Kinesis could not be translated into CBOR");
    Body::from_stream(futures_util::stream::once(async { Err::<Bytes, _>(error) }))
}

fn payload_in_cbor(json: &[u8]) -> io::Result<Vec<u8>> {
    let value: Value = serde_json::from_slice(json)?;
    let mut bytes = Vec::with_capacity(json.len());
    ciborium::into_writer(&cbor_of("", value), &mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn event_in_cbor(event: Message) -> io::Result<Message> {
    if event.payload().is_empty() {
        return Ok(event);
    }
    let headers = event.headers().iter().map(|header| match header.name().as_str() {
        ":content-type" => Header::new(":content-type", EventValue::String(CBOR.into())),
        _ => header.clone(),
    });
    Ok(Message::new_from_parts(headers.collect(), payload_in_cbor(event.payload())?))
}

/// `None` when a key is not text or a number is none of JSON's.
fn json_of(value: &Cbor) -> Option<Value> {
    Some(match value {
        Cbor::Bool(flag) => Value::Bool(*flag),
        Cbor::Integer(number) => Value::Number(Number::from_i128((*number).into())?),
        Cbor::Float(number) => Value::Number(Number::from_f64(*number)?),
        Cbor::Text(text) => Value::String(text.clone()),
        Cbor::Bytes(bytes) => Value::String(base64_simd::STANDARD.encode_to_string(bytes)),
        Cbor::Array(items) => Value::Array(items.iter().map(json_of).collect::<Option<_>>()?),
        Cbor::Map(members) => {
            let member = |(key, value): &(Cbor, Cbor)| Some((key.as_text()?.to_owned(), json_of(value)?));
            Value::Object(members.iter().map(member).collect::<Option<Map<_, _>>>()?)
        }
        Cbor::Tag(EPOCH_TAG, time) => Value::Number(Number::from_f64(milliseconds(time)? / 1_000.0)?),
        Cbor::Tag(_, inner) => json_of(inner)?,
        // Null, and what later versions of the format may bring.
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

/// The value of the member `name`.
fn cbor_of(name: &str, value: Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(flag),
        Value::Number(number) if TIMESTAMPS.contains(&name) => epoch(&number),
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
        Value::Array(items) => Cbor::Array(items.into_iter().map(|item| cbor_of("", item)).collect()),
        Value::Object(members) => Cbor::Map(
            members
                .into_iter()
                .map(|(key, value)| {
                    let value = cbor_of(&key, value);
                    (Cbor::Text(key), value)
                })
                .collect(),
        ),
    }
}

fn epoch(seconds: &Number) -> Cbor {
    let millis = (seconds.as_f64().unwrap_or_default() * 1_000.0).round() as i64;
    Cbor::Tag(EPOCH_TAG, Box::new(Cbor::from(millis)))
}
