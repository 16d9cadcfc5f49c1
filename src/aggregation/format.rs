//! Aggregated records, as the Kinesis Producer Library writes them: four magic bytes, a protobuf message, and the MD5
//! of that message (awslabs/amazon-kinesis-producer, `aggregation-format.md`).

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST: usize = 16;
/// A partition key has at most 256 characters, so at most four times as many bytes.
const LONGEST_KEY: usize = 1024;

#[derive(Clone, PartialEq, Message)]
struct Aggregated {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Inner>,
}

#[derive(Clone, PartialEq, Message)]
struct Inner {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// One record that a producer packed together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Its own partition key.
    pub partition_key: String,
    /// Its own hash key, a decimal number, where the producer gave one.
    pub explicit_hash_key: Option<String>,
    /// The payload; shares the memory of the aggregate.
    pub data: Bytes,
}

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

/// Packs records into an aggregate, with one table entry for each distinct key.
#[must_use]
pub fn pack(users: &[UserRecord]) -> Bytes {
    let mut message = Aggregated { partition_keys: Vec::new(), explicit_hash_keys: Vec::new(), records: Vec::new() };
    for user in users {
        let partition_key_index = entry(&mut message.partition_keys, &user.partition_key);
        let explicit = user.explicit_hash_key.as_ref();
        let explicit_hash_key_index = explicit.map(|key| entry(&mut message.explicit_hash_keys, key));
        let data = user.data.clone();
        message.records.push(Inner { partition_key_index, explicit_hash_key_index, data, tags: Vec::new() });
    }
    let body = message.encode_to_vec();
    [&MAGIC[..], &body, Md5::digest(&body).as_slice()].concat().into()
}

fn entry(table: &mut Vec<String>, key: &str) -> u64 {
    let index = table.iter().position(|known| known == key).unwrap_or_else(|| {
        table.push(key.to_owned());
        table.len() - 1
    });
    index as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(key: &str, data: &'static [u8]) -> UserRecord {
        UserRecord { partition_key: key.to_owned(), explicit_hash_key: None, data: Bytes::from_static(data) }
    }

    fn sealed(message: &Aggregated) -> Bytes {
        let body = message.encode_to_vec();
        [&MAGIC[..], &body, Md5::digest(&body).as_slice()].concat().into()
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let packed = pack(&[user("a", b"x")]);
        let body = b"\x0a\x01a\x1a\x05\x08\x00\x1a\x01x";
        assert_eq!(packed[..4], MAGIC);
        assert_eq!(packed[4..packed.len() - 16], *body);
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
        assert_eq!(unpack(&sealed(&message)), Err(Damage::Key));
        let long = Aggregated {
            partition_keys: vec!["k".repeat(2000)],
            records: vec![Inner { partition_key_index: 0, ..astray }],
            ..Aggregated::default()
        };
        assert_eq!(unpack(&sealed(&long)), Err(Damage::Key));
        let body = [0xFF; 9];
        let nonsense = [&MAGIC[..], &body, Md5::digest(body).as_slice()].concat();
        assert_eq!(unpack(&nonsense.into()), Err(Damage::Message));
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_the_same(
            users in prop::collection::vec(("[a-c]{1,3}", prop::option::of("[0-9]{1,3}"), any::<Vec<u8>>()), 1..20)
        ) {
            let users: Vec<UserRecord> = users
                .into_iter()
                .map(|(partition_key, explicit_hash_key, data)| {
                    UserRecord { partition_key, explicit_hash_key, data: data.into() }
                })
                .collect();
            prop_assert_eq!(unpack(&pack(&users)), Ok(Some(users)));
        }

        #[test]
        fn no_bytes_make_it_panic(body in any::<Vec<u8>>(), seal: bool) {
            let digest = if seal { Md5::digest(&body).to_vec() } else { Vec::new() };
            let outcome = unpack(&[&MAGIC[..], &body, &digest].concat().into());
            prop_assert!(!matches!(outcome, Ok(None)));
        }
    }
}
