//! Takes aggregates apart.

use super::UserRecord;
use super::format::{Aggregated, DIGEST, Inner, MAGIC};
use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

/// A partition key has at most 256 characters, so at most four times as many bytes.
const LONGEST_KEY: usize = 1024;

/// Why bytes that begin like an aggregate are not one. Such a record is delivered as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes end before the checksum could begin.
    #[error("it is too short")]
    TooShort,
    /// The checksum is that of other bytes.
    #[error("its checksum does not match")]
    Checksum,
    /// The message could not be read.
    #[error("its message cannot be read")]
    Message,
    /// A record points outside a table of keys, or at a key longer than Kinesis allows.
    #[error("a record in it names a key that is not there or too long")]
    Key,
    /// It holds no record at all.
    #[error("it is empty")]
    Empty,
}

/// Takes an aggregate apart; `None` when the bytes are a plain record. Everything is checked before anything is given
/// out, so it is all of the records or none.
///
/// # Errors
/// When the bytes have the mark of an aggregate but are damaged.
pub fn unpack(data: &Bytes) -> Result<Option<Vec<UserRecord>>, Damage> {
    if !data.starts_with(&MAGIC) {
        return Ok(None);
    }
    let end = data.len().checked_sub(DIGEST).filter(|end| *end >= MAGIC.len()).ok_or(Damage::TooShort)?;
    let body = data.slice(MAGIC.len()..end);
    if Md5::digest(&body).as_slice() != &data[end..] {
        return Err(Damage::Checksum);
    }
    let message = Aggregated::decode(body).map_err(|_| Damage::Message)?;
    let Aggregated { partition_keys, explicit_hash_keys, records } = message;
    if records.is_empty() {
        return Err(Damage::Empty);
    }
    let user = |inner: Inner| {
        let partition_key = key_at(&partition_keys, inner.partition_key_index)?;
        let explicit = inner.explicit_hash_key_index.map(|index| key_at(&explicit_hash_keys, index));
        Ok(UserRecord { partition_key, explicit_hash_key: explicit.transpose()?, data: inner.data })
    };
    records.into_iter().map(user).collect::<Result<_, _>>().map(Some)
}

fn key_at(table: &[String], index: u64) -> Result<String, Damage> {
    let key = usize::try_from(index).ok().and_then(|index| table.get(index)).ok_or(Damage::Key)?;
    // Without a limit, many small records could each copy one huge key.
    if key.len() > LONGEST_KEY { Err(Damage::Key) } else { Ok(key.clone()) }
}

#[cfg(test)]
mod tests {
    use super::super::format::sealed;
    use super::super::pack;
    use super::*;
    use proptest::prelude::*;

    fn user(key: &str, data: &'static [u8]) -> UserRecord {
        UserRecord { partition_key: key.to_owned(), explicit_hash_key: None, data: Bytes::from_static(data) }
    }

    #[test]
    fn a_plain_record_is_left_alone() {
        assert_eq!(unpack(&Bytes::from_static(b"{}")), Ok(None));
        assert_eq!(unpack(&Bytes::new()), Ok(None));
    }

    #[test]
    fn every_damage_is_told() {
        let good = pack(&[user("a", b"x"), user("b", b"y")]);
        assert_eq!(unpack(&good.slice(..10)), Err(Damage::TooShort));
        let mut flipped = good.to_vec();
        flipped[6] ^= 1;
        assert_eq!(unpack(&flipped.into()), Err(Damage::Checksum));
        assert_eq!(unpack(&pack(&[])), Err(Damage::Empty));
        let astray = Inner { partition_key_index: 7, explicit_hash_key_index: None, data: Bytes::new(), tags: vec![] };
        let message = Aggregated { records: vec![astray.clone()], ..Aggregated::default() };
        assert_eq!(unpack(&sealed(&message.encode_to_vec())), Err(Damage::Key));
        let long = Aggregated {
            partition_keys: vec!["k".repeat(2000)],
            records: vec![Inner { partition_key_index: 0, ..astray }],
            ..Aggregated::default()
        };
        assert_eq!(unpack(&sealed(&long.encode_to_vec())), Err(Damage::Key));
        assert_eq!(unpack(&sealed(&[0xFF; 9])), Err(Damage::Message));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in any::<Vec<u8>>(), seal: bool) {
            let digest = if seal { Md5::digest(&body).to_vec() } else { Vec::new() };
            let outcome = unpack(&[&MAGIC[..], &body, &digest].concat().into());
            prop_assert!(!matches!(outcome, Ok(None)));
        }
    }
}
