//! Reads and writes the messages of an event stream.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::Message;
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use std::io;

/// Applies `convert` to every event. The stream ends in an error at an event that cannot be read or converted.
pub(super) fn map_events(body: Body, convert: impl Fn(Message) -> io::Result<Message> + Send + 'static) -> Body {
    let (mut decoder, mut unread) = (MessageFrameDecoder::new(), BytesMut::new());
    Body::from_stream(body.into_data_stream().map(move |chunk| {
        unread.extend_from_slice(&chunk.map_err(io::Error::other)?);
        let mut frames = Vec::new();
        while unread.has_remaining() {
            match decoder.decode_frame(&mut unread).map_err(io::Error::other)? {
                DecodedFrame::Incomplete => break,
                DecodedFrame::Complete(event) => {
                    write_message_to(&convert(event)?, &mut frames).map_err(io::Error::other)?;
                }
            }
        }
        Ok::<_, io::Error>(Bytes::from(frames))
    }))
}
