//! Unpacks aggregates.

use super::UserRecord;
use super::format::{AggregatedRecord, DIGEST_LEN, InnerRecord, MAGIC};
use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

/// A partition key has at most 256 characters of at most four bytes each.
const MAX_KEY_BYTES: usize = 1024;

/// Why a record with the magic bytes of an aggregate is not one. Such a record is delivered as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    #[error("it is too short")]
    TooShort,
    #[error("its checksum does not match")]
    Checksum,
    #[error("its message cannot be read")]
    Message,
    #[error("a record in it has the index of a key that does not exist or is too long")]
    Key,
    #[error("it is empty")]
    Empty,
}

/// Unpacks an aggregate; `None` for a plain record. Everything is checked first, so the result is all records or none.
///
/// # Errors
/// When the record has the magic bytes of an aggregate but is corrupt.
pub fn unpack(data: &Bytes) -> Result<Option<Vec<UserRecord>>, AggregateError> {
    if !data.starts_with(&MAGIC) {
        return Ok(None);
    }
    let end = data.len().checked_sub(DIGEST_LEN).filter(|end| *end >= MAGIC.len()).ok_or(AggregateError::TooShort)?;
    let body = data.slice(MAGIC.len()..end);
    if Md5::digest(&body).as_slice() != &data[end..] {
        return Err(AggregateError::Checksum);
    }
    let message = AggregatedRecord::decode(body).map_err(|_| AggregateError::Message)?;
    let AggregatedRecord { partition_keys, explicit_hash_keys, records } = message;
    if records.is_empty() {
        return Err(AggregateError::Empty);
    }
    let user = |inner: InnerRecord| {
        let partition_key = key_at(&partition_keys, inner.partition_key_index)?;
        let explicit = inner.explicit_hash_key_index.map(|index| key_at(&explicit_hash_keys, index));
        Ok(UserRecord { partition_key, explicit_hash_key: explicit.transpose()?, data: inner.data })
    };
    records.into_iter().map(user).collect::<Result<_, _>>().map(Some)
}

fn key_at(table: &[String], index: u64) -> Result<String, AggregateError> {
    let key = usize::try_from(index).ok().and_then(|index| table.get(index)).ok_or(AggregateError::Key)?;
    // Without this limit, many small records could each copy one very long key.
    if key.len() > MAX_KEY_BYTES { Err(AggregateError::Key) } else { Ok(key.clone()) }
}

#[cfg(test)]
mod tests {
    use super::super::format::with_digest;
    use super::super::pack;
    use super::*;
    use proptest::prelude::*;

    fn user(key: &str, data: &'static [u8]) -> UserRecord {
        UserRecord { partition_key: key.to_owned(), explicit_hash_key: None, data: Bytes::from_static(data) }
    }

    #[test]
    fn a_plain_record_is_not_unpacked() {
        assert_eq!(unpack(&Bytes::from_static(b"{}")), Ok(None));
        assert_eq!(unpack(&Bytes::new()), Ok(None));
    }

    #[test]
    fn every_kind_of_corruption_is_detected() {
        let good = pack(&[user("a", b"x"), user("b", b"y")]);
        assert_eq!(unpack(&good.slice(..10)), Err(AggregateError::TooShort));
        let mut flipped = good.to_vec();
        flipped[6] ^= 1;
        assert_eq!(unpack(&flipped.into()), Err(AggregateError::Checksum));
        assert_eq!(unpack(&pack(&[])), Err(AggregateError::Empty));
        let bad_index =
            InnerRecord { partition_key_index: 7, explicit_hash_key_index: None, data: Bytes::new(), tags: vec![] };
        let message = AggregatedRecord { records: vec![bad_index.clone()], ..AggregatedRecord::default() };
        assert_eq!(unpack(&with_digest(&message.encode_to_vec())), Err(AggregateError::Key));
        let long = AggregatedRecord {
            partition_keys: vec!["k".repeat(2000)],
            records: vec![InnerRecord { partition_key_index: 0, ..bad_index }],
            ..AggregatedRecord::default()
        };
        assert_eq!(unpack(&with_digest(&long.encode_to_vec())), Err(AggregateError::Key));
        assert_eq!(unpack(&with_digest(&[0xFF; 9])), Err(AggregateError::Message));
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(body in any::<Vec<u8>>(), has_digest: bool) {
            let digest = if has_digest { Md5::digest(&body).to_vec() } else { Vec::new() };
            let outcome = unpack(&[&MAGIC[..], &body, &digest].concat().into());
            prop_assert!(!matches!(outcome, Ok(None)));
        }
    }
}
