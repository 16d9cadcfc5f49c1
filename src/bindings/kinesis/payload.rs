//! Makes the bytes of a record from the text of `data`: decoding, then compression.

use crate::domain::{BindingError, FailureKind, Metadata, NewRecord};
use crate::producer::Growth;
use bytes::Bytes;
use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::io::Write;

/// Bytes to compress between two yields to other tasks; about a millisecond of work.
const CHUNK: usize = 64 << 10;

/// Of a gzip member without name and time, from an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Bytes of the checksum and the length.
const TRAILER: usize = 8;
/// Bytes before the data of a block that is stored as it is.
const BLOCK_HEADER: usize = 5;

/// How `data` becomes the bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadForm {
    /// The exact JSON text; a string keeps its quotes, as in Dapr.
    #[default]
    Text,
    /// The content of a JSON string (`rawPayload`).
    Content,
    /// The bytes that a JSON string holds in base64 (`decodeBase64`).
    Base64,
}

impl PayloadForm {
    #[must_use]
    pub(super) const fn for_component(raw_payload: bool, decode_base64: bool) -> Self {
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

    /// The record's bytes. They share the request's memory unless something had to be decoded.
    ///
    /// # Errors
    /// `Caller` when `data` is not the JSON string, or not the base64, that the form needs.
    pub(super) fn bytes(self, data: Bytes) -> Result<Bytes, BindingError> {
        match self {
            Self::Text => Ok(data),
            Self::Content => Ok(match content(&data, "rawPayload")? {
                Cow::Borrowed(text) => data.slice_ref(text.as_bytes()),
                Cow::Owned(text) => Bytes::from(text),
            }),
            Self::Base64 => {
                let text = content(&data, "decodeBase64")?;
                let decoded = base64_simd::STANDARD.decode_to_vec(text.as_bytes());
                decoded.map(Bytes::from).map_err(|_| invalid("`data` is not valid base64, which `decodeBase64` needs"))
            }
        }
    }
}

/// The content of a JSON string; borrowed if nothing in it is escaped.
fn content<'d>(data: &'d [u8], option: &str) -> Result<Cow<'d, str>, BindingError> {
    if let Ok(plain) = serde_json::from_slice::<&str>(data) {
        return Ok(Cow::Borrowed(plain));
    }
    let decoded = serde_json::from_slice(data).map(Cow::Owned);
    decoded.map_err(|_| invalid(&format!("`data` must be a JSON string when `{option}` is set")))
}

/// `compression`: the last step, after keys were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    #[default]
    None,
    /// One gzip member (RFC 1952) without name and time, so that equal payloads give equal records.
    Gzip,
}

impl Compression {
    pub(super) const WORDS: [(&str, Self); 2] = [("none", Self::None), ("gzip", Self::Gzip)];

    /// The compression for one request, which may override the component's.
    ///
    /// # Errors
    /// `Caller` for an unknown compression.
    pub(super) fn for_request(self, metadata: &Metadata) -> Result<Self, BindingError> {
        let Some(word) = metadata.get("compression") else { return Ok(self) };
        let known = Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, compression)| *compression);
        known.ok_or_else(|| invalid("`compression` in the request's metadata must be `none` or `gzip`"))
    }

    /// The most by which compression makes a payload larger: the header and the trailer of gzip, and the headers of blocks
    /// that cannot be compressed.
    pub(super) const fn growth(self) -> Growth {
        match self {
            Self::None => Growth { record: 0, block: 0 },
            Self::Gzip => Growth { record: HEADER.len() + TRAILER, block: BLOCK_HEADER },
        }
    }

    /// The record with its payload compressed. Yields to other tasks between chunks.
    pub(super) async fn apply(self, record: NewRecord) -> Result<NewRecord, BindingError> {
        match self {
            Self::None => Ok(record),
            // Boxed, so that the future of a plain record stays small.
            Self::Gzip => Ok(NewRecord { data: Box::pin(gzip(record.data)).await?, ..record }),
        }
    }
}

async fn gzip(data: Bytes) -> Result<Bytes, BindingError> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(data.len() / 4), flate2::Compression::default());
    for chunk in data.chunks(CHUNK) {
        encoder.write_all(chunk).map_err(not_compressed)?;
        tokio::task::yield_now().await;
    }
    let packed = encoder.finish().map_err(not_compressed)?;
    // An encoder promises no exact limit for what it cannot compress.
    let is_larger = packed.len() > Compression::Gzip.growth().grown(data.len());
    Ok(if is_larger { stored(&data) } else { packed }.into())
}

/// A gzip member (RFC 1952) of blocks that hold the data as they are (RFC 1951, 3.2.4).
fn stored(data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(Compression::Gzip.growth().grown(data.len()));
    packed.extend_from_slice(&HEADER);
    let (blocks, last) = data.split_at(data.len().saturating_sub(1) / Growth::BLOCK * Growth::BLOCK);
    let blocks = blocks.chunks(Growth::BLOCK).map(|block| (0, block)).chain([(1, last)]);
    for (is_last, block) in blocks {
        // A block has at most 65,535 bytes.
        let length = block.len() as u16;
        packed.push(is_last);
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(block);
    }
    let mut checksum = flate2::Crc::new();
    checksum.update(data);
    packed.extend_from_slice(&checksum.sum().to_le_bytes());
    packed.extend_from_slice(&checksum.amount().to_le_bytes());
    packed
}

fn not_compressed(error: std::io::Error) -> BindingError {
    BindingError::new(FailureKind::Permanent, "the payload could not be compressed").with_source(error)
}

fn invalid(message: &str) -> BindingError {
    BindingError::new(FailureKind::Caller, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_string_keeps_its_quotes_unless_its_content_is_requested() {
        let data = Bytes::from_static(br#""a\u00e9""#);
        assert_eq!(PayloadForm::Text.bytes(data.clone()).unwrap(), data);
        assert_eq!(PayloadForm::Content.bytes(data).unwrap(), "aé".as_bytes());
    }

    #[test]
    fn base64_is_decoded_and_anything_else_is_invalid() {
        assert_eq!(PayloadForm::Base64.bytes(Bytes::from_static(b"\"AP8=\"")).unwrap(), &[0_u8, 255][..]);
        for bad in ["\"a b\"", "{}", "17"] {
            let error = PayloadForm::Base64.bytes(Bytes::from_static(bad.as_bytes())).unwrap_err();
            assert_eq!(error.kind(), FailureKind::Caller, "{bad}");
        }
    }

    #[test]
    fn a_request_overrides_the_component() {
        let component = PayloadForm::for_component(true, false);
        assert_eq!(component.for_request(&Metadata::default()), PayloadForm::Content);
        assert_eq!(component.for_request(&metadata(&[("rawPayload", "false")])), PayloadForm::Text);
        assert_eq!(component.for_request(&metadata(&[("decodeBase64", "TRUE")])), PayloadForm::Base64);
    }

    #[test]
    fn the_content_of_a_plain_string_is_not_copied() {
        let data = Bytes::from_static(b"\"plain\"");
        assert_eq!(PayloadForm::Content.bytes(data.clone()).unwrap().as_ptr(), data[1..].as_ptr());
    }

    #[tokio::test]
    async fn gzip_is_lossless_and_deterministic() {
        let data = Bytes::from((0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
        let record = NewRecord { data: data.clone(), partition_key: None, explicit_hash_key: Some(7) };
        let NewRecord { data: packed, explicit_hash_key, .. } = Compression::Gzip.apply(record.clone()).await.unwrap();
        assert_eq!(
            (&packed, explicit_hash_key),
            (&Compression::Gzip.apply(record.clone()).await.unwrap().data, Some(7))
        );
        assert!(unpacked(&packed) == data && packed.len() < data.len());
        assert_eq!(Compression::None.apply(record.clone()).await.unwrap(), record);
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut unpacked).unwrap();
        unpacked
    }

    #[tokio::test]
    async fn what_cannot_be_compressed_grows_by_no_more_than_the_headers() {
        let mut random = fastrand::Rng::with_seed(7);
        for size in [0, 1, 10, 100, 1_000, 30_000, 65_535, 65_536, 131_070, 1 << 20, 10 << 20] {
            let mut data = vec![0; size];
            random.fill(&mut data);
            let packed = gzip(data.clone().into()).await.unwrap();
            assert!(packed.len() <= Compression::Gzip.growth().grown(size), "{size} became {}", packed.len());
            assert!(unpacked(&packed) == data, "{size}");
            let stored = stored(&data);
            assert_eq!(stored.len(), size + 18 + 5 * size.div_ceil(65_535).max(1));
            assert!(unpacked(&stored) == data, "{size}");
        }
    }

    proptest! {
        /// Between random bytes and one byte again and again.
        #[test]
        fn no_payload_grows_by_more_than_the_headers(
            size in 0_usize..300_000, letters in 1_u8..=255, run in 1_usize..40, seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut data = Vec::with_capacity(size);
            while data.len() < size {
                let letter = random.u8(0..letters);
                data.resize((data.len() + random.usize(1..=run)).min(size), letter);
            }
            let packed = block_on(gzip(data.clone().into())).unwrap();
            prop_assert!(packed.len() <= size + 18 + 5 * size.div_ceil(65_535).max(1));
            prop_assert_eq!(unpacked(&packed), data);
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_request_may_choose_a_known_compression() {
        let chosen = |word: &str| Compression::Gzip.for_request(&metadata(&[("compression", word)]));
        assert_eq!((chosen("none").unwrap(), chosen("").unwrap()), (Compression::None, Compression::Gzip));
        assert_eq!(chosen("zstd").unwrap_err().kind(), FailureKind::Caller);
    }
}
