//! Bytes in JSON.

use serde::{Serialize, Serializer};

/// Written as a JSON string in base64 (RFC 4648, section 4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Base64<'d>(pub(super) &'d [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64_simd::STANDARD.encode_to_string(self.0))
    }
}
