//! Bytes in JSON.

use base64_simd::{AsOut, STANDARD};
use serde::{Serialize, Serializer};
use std::fmt;

/// Bytes to encode at a time; a multiple of three, so that only the last piece is padded.
const PIECE: usize = 3 << 10;

/// Written as a JSON string in base64 (RFC 4648, section 4), piece by piece, so that it takes no memory beside the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base64<'d>(pub(super) &'d [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoded = [0; PIECE / 3 * 4];
        self.0
            .chunks(PIECE)
            .try_for_each(|piece| f.write_str(STANDARD.encode_as_str(piece, encoded.as_mut_slice().as_out())))
    }
}

/// The length of the encoded bytes.
pub(super) const fn encoded_len(data: &[u8]) -> usize {
    data.len().div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_make_one_encoding(byte: u8, length in 0_usize..3 * PIECE) {
            let data: Vec<u8> = (0..length).map(|at| byte.wrapping_add((at % 251) as u8)).collect();
            let text = Base64(&data).to_string();
            prop_assert_eq!(&text, &STANDARD.encode_to_string(&data));
            prop_assert_eq!(text.len(), encoded_len(&data));
        }
    }
}
