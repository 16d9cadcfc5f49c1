//! The headers of a request with a [`Message`]: Dapr makes one of each metadata entry.

use super::media_type;
use crate::domain::Message;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Names of a connection or of the request's own form. Dapr does not send metadata of these names either.
const NOT_SENT: [&str; 13] = [
    "connection",
    "content-length",
    "content-type",
    "destination-app-id",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// # Errors
/// With the name of an entry that does not fit into a header; Dapr does not deliver such an event either.
pub(super) fn headers(message: &Message) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(message.metadata.len() + 6);
    for (key, value) in &message.metadata {
        let lower = key.to_ascii_lowercase();
        if NOT_SENT.contains(&lower.as_str()) || lower == "upgrade" || lower.ends_with("-bin") {
            continue;
        }
        let name = match lower.strip_prefix(':') {
            Some(pseudo) => format!("dapr-{pseudo}"),
            None if lower.starts_with("grpc-") => format!("dapr-{lower}"),
            None => lower,
        };
        let not_sendable = |_| format!("the metadata `{}` does not fit into a header", key.escape_debug());
        let value = HeaderValue::from_str(value).map_err(|error| not_sendable(error.to_string()))?;
        headers.insert(HeaderName::try_from(name).map_err(|error| not_sendable(error.to_string()))?, value);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(message.data.len()));
    headers.insert(CONTENT_TYPE, media_type::JSON);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(metadata: &[(&str, &str)]) -> Message {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Message { binding: "tick".parse().unwrap(), data: Bytes::from_static(b"12"), metadata, max_reply: None }
    }

    #[test]
    fn metadata_becomes_headers_as_in_dapr() {
        let headers = headers(&message(&[
            ("readTimeUTC", "2026"),
            ("Content-Type", "text/plain"),
            ("content-length", "7"),
            ("trace-bin", "x"),
            ("TE", "x"),
            (":path", "/x"),
            ("grpc-timeout", "1s"),
        ]))
        .unwrap();
        let mut shown: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        shown.sort();
        let expected = [
            "content-length=2",
            "content-type=application/json",
            "dapr-grpc-timeout=1s",
            "dapr-path=/x",
            "readtimeutc=2026",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_fits_into_no_header_is_named_without_its_value() {
        for entry in [("a b", "1"), ("key", "s3cret\n")] {
            let problem = headers(&message(&[entry])).unwrap_err();
            assert!(problem.contains(entry.0) && !problem.contains("s3cret"), "{problem}");
        }
    }
}
