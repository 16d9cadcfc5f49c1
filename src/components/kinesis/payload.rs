//! From the text of `data` to the bytes of a record. Pure.

use crate::domain::{BindingError, FailureKind, Metadata};
use bytes::Bytes;

/// How `data` becomes a record: as it is, as the content of a string, or as what a base64 string decodes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PayloadForm {
    /// The exact JSON text; a string keeps its quotes, as in Dapr.
    #[default]
    Text,
    /// The content of a JSON string (`rawPayload`).
    Content,
    /// The bytes that a JSON string holds in base64 (`decodeBase64`).
    Base64,
}

impl PayloadForm {
    /// The form that the component's file asks for.
    #[must_use]
    pub(super) const fn of_component(raw_payload: bool, decode_base64: bool) -> Self {
        match (decode_base64, raw_payload) {
            (true, _) => Self::Base64,
            (false, true) => Self::Content,
            (false, false) => Self::Text,
        }
    }

    /// The form for one request, which may override the component's.
    #[must_use]
    pub(super) fn for_request(self, metadata: &Metadata) -> Self {
        let stated = |key| metadata.get(key).map(|_| metadata.is_true(key));
        match (stated("decodeBase64"), stated("rawPayload")) {
            (Some(true), _) => Self::Base64,
            (_, Some(true)) => Self::Content,
            (Some(false), _) | (_, Some(false)) => Self::Text,
            (None, None) => self,
        }
    }

    /// The record's bytes. The text form shares the request's memory.
    ///
    /// # Errors
    /// When another form is asked for and `data` is not a JSON string, or not base64.
    pub(super) fn bytes(self, data: Bytes) -> Result<Bytes, BindingError> {
        match self {
            Self::Text => Ok(data),
            Self::Content => content(&data, "rawPayload").map(Bytes::from),
            Self::Base64 => {
                let text = content(&data, "decodeBase64")?;
                let decoded = base64_simd::STANDARD.decode_to_vec(text.as_bytes());
                decoded
                    .map(Bytes::from)
                    .map_err(|_| refused("`data` is not valid base64, which `decodeBase64` demands"))
            }
        }
    }
}

fn content(data: &[u8], option: &str) -> Result<String, BindingError> {
    serde_json::from_slice(data).map_err(|_| refused(&format!("`data` must be a JSON string when `{option}` is set")))
}

fn refused(message: &str) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_string_keeps_its_quotes_unless_asked_otherwise() {
        let data = Bytes::from_static(br#""a\u00e9""#);
        assert_eq!(PayloadForm::Text.bytes(data.clone()).unwrap(), data);
        assert_eq!(PayloadForm::Content.bytes(data).unwrap(), "aé".as_bytes());
    }

    #[test]
    fn base64_becomes_bytes_and_nonsense_is_refused() {
        assert_eq!(PayloadForm::Base64.bytes(Bytes::from_static(b"\"AP8=\"")).unwrap(), &[0_u8, 255][..]);
        for bad in ["\"a b\"", "{}", "17"] {
            let error = PayloadForm::Base64.bytes(Bytes::from_static(bad.as_bytes())).unwrap_err();
            assert_eq!(error.kind(), FailureKind::Caller, "{bad}");
        }
    }

    #[test]
    fn a_request_overrides_the_component() {
        let component = PayloadForm::of_component(true, false);
        assert_eq!(component.for_request(&Metadata::default()), PayloadForm::Content);
        assert_eq!(component.for_request(&metadata(&[("rawPayload", "false")])), PayloadForm::Text);
        assert_eq!(component.for_request(&metadata(&[("decodeBase64", "TRUE")])), PayloadForm::Base64);
    }
}
