//! One message in, one or several out: the framing of gRPC over HTTP/2.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use super::{gzip, status};
use crate::domain::{Reservation, ReservedMemory};
use crate::http::{ApiState, read_body};
use axum::body::Body;
use axum::response::Response;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use prost::Message;
use std::convert::Infallible;
use tonic::Status;
use tonic::metadata::MetadataValue;

/// A byte for the compression, four for the length.
const PREFIX: usize = 5;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
static STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A message of a client, its size in bytes, and the memory that is reserved for it until this is dropped.
pub(super) struct Received<M> {
    pub(super) message: M,
    pub(super) memory: Reservation,
    /// The whole message. Fields of bytes are slices of it.
    pub(super) buffer: Bytes,
}

/// Reads the only message of a request.
///
/// # Errors
/// When it is too large, incomplete, not the only one, or compressed by anything but gzip; or when the client sends nothing
/// for a minute.
pub(super) async fn read<M: Message + Default>(
    state: &ApiState,
    head: &Parts,
    body: Body,
) -> Result<Received<M>, Status> {
    let limit = state.settings.max_body_size.map(|limit| limit.saturating_add(PREFIX));
    let read = read_body(body, head, limit, &state.body_memory).await;
    let (mut body, mut memory) = read.map_err(|refused| status::malformed(state, &refused.error))?;
    let buffer = match unframed(&mut body)? {
        Sent::Plain(message) => message,
        Sent::Compressed(message) => decompressed(state, head, &message, &mut memory).await?,
    };
    let message = M::decode(buffer.clone());
    let message =
        message.map_err(|error| Status::invalid_argument(format!("the message cannot be decoded: {error}")))?;
    Ok(Received { message, memory, buffer })
}

/// As it was sent.
enum Sent {
    Plain(Bytes),
    Compressed(Bytes),
}

/// The bytes of the only message.
fn unframed(body: &mut Bytes) -> Result<Sent, Status> {
    if body.len() < PREFIX {
        return Err(Status::internal("the request has no complete message"));
    }
    let sent = match body.get_u8() {
        0 => Sent::Plain,
        1 => Sent::Compressed,
        _ => return Err(Status::internal("the compression flag of the message is neither 0 nor 1")),
    };
    let length = usize::try_from(body.get_u32()).unwrap_or(usize::MAX);
    if length != body.len() {
        return Err(Status::internal("the request is not exactly one message"));
    }
    Ok(sent(std::mem::take(body)))
}

/// A message in the encoding that the head names. daprd knows gzip, too.
async fn decompressed(
    state: &ApiState,
    head: &Parts,
    message: &[u8],
    memory: &mut Reservation,
) -> Result<Bytes, Status> {
    match head.headers.get("grpc-encoding").map_or(&b"identity"[..], HeaderValue::as_bytes) {
        b"gzip" => {}
        b"identity" => {
            return Err(Status::internal("the message is marked as compressed, but grpc-encoding is identity"));
        }
        _ => {
            let mut status =
                Status::unimplemented("the message is compressed by an encoding that is not gzip: use gzip");
            status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("gzip"));
            return Err(status);
        }
    }
    let limit = state.settings.max_body_size.unwrap_or(usize::MAX);
    gzip::decompressed(message, limit, memory).await.map_err(|failure| match failure {
        gzip::Failure::Corrupt => Status::internal("the compressed message is not valid gzip"),
        gzip::Failure::Refused(error) => status::malformed(state, &error),
    })
}

/// The response to a call: metadata that is sent before the message, and the message or why there is none.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) metadata: HeaderMap,
    /// Bytes of the message of the client, if it was read.
    pub(super) received: usize,
    pub(super) result: Result<Bytes, Status>,
}

impl Reply {
    /// A reply without metadata.
    pub(super) fn new(result: Result<Bytes, Status>) -> Self {
        Self { metadata: HeaderMap::new(), received: 0, result }
    }
}

/// A message with its prefix. Its memory is reserved until it was sent.
///
/// # Errors
/// When it is larger than the limit of messages, or than the memory that bodies have left.
pub(super) fn framed(state: &ApiState, message: &impl Message) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let limit = state.settings.max_body_size.unwrap_or(usize::MAX).min(u32::MAX as usize);
    let Some(prefix) = u32::try_from(length).ok().filter(|_| length <= limit) else {
        return Err(Status::resource_exhausted(format!(
            "the operation was carried out, but its result does not fit into a message: {length} bytes, the maximum is \
             {limit}; raise --max-body-size, or request less"
        )));
    };
    let mut memory = state.body_memory.reservation();
    memory
        .grow(PREFIX + length)
        .map_err(|full| Status::unavailable(format!("the result of the operation was dropped: {full}")))?;
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(prefix);
    message.encode(&mut bytes).map_err(|error| Status::internal(format!("the response cannot be encoded: {error}")))?;
    Ok(ReservedMemory::from(memory).hold(bytes))
}

/// The response over HTTP/2. With metadata, a failure has its status in trailers, because clients read the metadata of a
/// response only from headers before these.
pub(super) fn response(reply: Reply) -> Response {
    let Reply { metadata, result, .. } = reply;
    let (bytes, trailers) = match result {
        Ok(bytes) => (bytes, HeaderMap::from_iter([(STATUS.clone(), HeaderValue::from_static("0"))])),
        Err(status) if metadata.is_empty() => return failure(&status),
        Err(status) => (Bytes::new(), headers_of(&status)),
    };
    let body = Full::new(bytes).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    *response.headers_mut() = metadata;
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// A response of several messages: `frames` ends with trailers.
pub(super) fn streamed(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::new(StreamBody::new(frames.map(Ok::<_, Infallible>))));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// The messages, until one is a failure or `end` resolves; that status is in the trailers.
pub(super) fn until_ended(
    messages: impl Stream<Item = Result<Bytes, Status>>,
    end: impl Future<Output = Status>,
) -> impl Stream<Item = Frame<Bytes>> {
    let parts = Some((Box::pin(messages), Box::pin(end)));
    stream::unfold(parts, async |parts| {
        let (mut messages, mut end) = parts?;
        let message = tokio::select! {
            // Biased: the last message is still sent.
            biased;
            Some(message) = messages.next() => message,
            status = &mut end => Err(status),
        };
        Some(match message {
            Ok(bytes) => (Frame::data(bytes), Some((messages, end))),
            Err(status) => (Frame::trailers(headers_of(&status)), None),
        })
    })
}

/// A response that is nothing but a status.
pub(super) fn failure(status: &Status) -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers_of(status);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

fn headers_of(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Texts are escaped, so they always fit into a header.
    if status.add_header(&mut headers).is_err() {
        headers.insert(&STATUS, HeaderValue::from(i32::from(status.code())));
    }
    headers
}
