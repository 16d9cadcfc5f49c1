//! Compressed messages of clients.

use crate::domain::Reservation;
use crate::http::MalformedRequest;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// Bytes to decompress between two yields to other tasks; about a tenth of a millisecond of work.
const CHUNK: usize = 64 << 10;

/// Why a message was not decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Corrupt,
    /// It is too large, or there is no memory for it now.
    Refused(MalformedRequest),
}

/// The message, of at most `limit` bytes, which are reserved in `memory`.
///
/// # Errors
/// When it is not gzip, too large, or the memory is full.
pub(super) async fn decompressed(data: &[u8], limit: usize, memory: &mut Reservation) -> Result<Bytes, Failure> {
    let mut decoder = MultiGzDecoder::new(data);
    let mut message = Vec::new();
    loop {
        let before = message.len();
        // One byte more than the limit shows that there is more.
        let chunk = CHUNK.min((limit - before).saturating_add(1));
        let read = decoder.by_ref().take(chunk as u64).read_to_end(&mut message);
        let read = read.map_err(|_| Failure::Corrupt)?;
        memory.grow(read).map_err(|full| Failure::Refused(full.into()))?;
        if message.len() > limit {
            return Err(Failure::Refused(MalformedRequest::TooLarge { limit }));
        }
        if read == 0 {
            return Ok(message.into());
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BodyMemory, BodyMemoryFull};
    use flate2::Compression;
    use flate2::read::GzEncoder;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        GzEncoder::new(data, Compression::fast()).read_to_end(&mut compressed).unwrap();
        compressed
    }

    async fn result(data: &[u8], limit: usize, memory: usize) -> Result<Bytes, Failure> {
        let memory = BodyMemory::new(Some(memory));
        decompressed(data, limit, &mut memory.reservation()).await
    }

    #[tokio::test]
    async fn a_message_is_decompressed_within_its_limit_and_the_memory() {
        for size in [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 7] {
            let (data, memory) = (vec![b'x'; size], 8 * CHUNK);
            let compressed = gzip(&data);
            assert_eq!(result(&compressed, size, memory).await.unwrap(), data, "{size} bytes");
            if let Some(limit) = size.checked_sub(1) {
                let refused = Err(Failure::Refused(MalformedRequest::TooLarge { limit }));
                assert_eq!(result(&compressed, limit, memory).await, refused, "{size} bytes");
            }
        }
        let bomb = gzip(&vec![0; 4 << 20]);
        let refused = result(&bomb, usize::MAX, 1 << 20).await.unwrap_err();
        assert_eq!(refused, Failure::Refused(MalformedRequest::BufferFull(BodyMemoryFull { limit: 1 << 20 })));
    }

    #[tokio::test]
    async fn other_bytes_are_corrupt() {
        let cut = gzip(b"a message that is cut off");
        for data in [&b"not gzip"[..], &cut[..cut.len() - 4]] {
            assert_eq!(result(data, 100, 1 << 20).await, Err(Failure::Corrupt));
        }
    }
}
