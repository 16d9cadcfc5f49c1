//! Decompresses records within a limit, so that a small record cannot fill the memory.

use crate::domain::{Decompress, DecompressFailure};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// The largest record after decompression, in bytes.
pub const MAX_RECORD: usize = 16 << 20;
/// Bytes to decompress between two yields to other tasks; about a tenth of a millisecond of work.
const CHUNK: usize = 64 << 10;
const MAGIC: &[u8] = &[0x1f, 0x8b];

/// Whether this data is to be decompressed.
#[must_use]
pub fn is_wanted(which: Decompress, data: &[u8]) -> bool {
    match which {
        Decompress::Off => false,
        Decompress::Gzip => true,
        Decompress::Auto => data.starts_with(MAGIC),
    }
}

/// The content of one or more gzip members, of at most `limit` bytes.
///
/// # Errors
/// When the data is not gzip, ends early, or contains more.
pub async fn decompressed(data: &[u8], limit: usize) -> Result<Bytes, DecompressFailure> {
    if !data.starts_with(MAGIC) {
        return Err(DecompressFailure::Corrupt);
    }
    let mut decoder = MultiGzDecoder::new(data);
    let mut found = Vec::new();
    loop {
        let before = found.len();
        let chunk = CHUNK.min(limit - before + 1) as u64;
        decoder.by_ref().take(chunk).read_to_end(&mut found).map_err(|_| DecompressFailure::Corrupt)?;
        if found.len() > limit {
            return Err(DecompressFailure::TooLarge);
        }
        if found.len() == before {
            return Ok(found.into());
        }
        tokio::task::yield_now().await;
    }
}
