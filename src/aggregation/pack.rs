//! Makes aggregates. Writes the message by hand, field by field, so that its exact size is known at every moment and
//! each payload is copied once.

use super::UserRecord;
use super::format::{DIGEST, MAGIC};
use bytes::{BufMut, Bytes, BytesMut};
use md5::{Digest, Md5};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use std::collections::HashMap;

const PARTITION_KEYS: u32 = 1;
const EXPLICIT_HASH_KEYS: u32 = 2;
const RECORDS: u32 = 3;
const PARTITION_KEY_INDEX: u32 = 1;
const EXPLICIT_HASH_KEY_INDEX: u32 = 2;
const DATA: u32 = 3;

/// Packs records into an aggregate, with one table entry for each distinct key. For tests.
#[cfg(any(test, feature = "testing"))]
#[must_use]
pub fn pack(users: &[UserRecord]) -> Bytes {
    let mut packer = Packer::new(usize::MAX);
    users.iter().cloned().for_each(|user| packer.push(user));
    packer.finish()
}

/// Collects records for one aggregate, in order: the sub-sequence number of each is its place. Knows at every moment
/// how large the aggregate is, magic bytes and digest included.
#[derive(Debug)]
pub struct Packer {
    limit: usize,
    partition_keys: KeyTable,
    explicit_hash_keys: KeyTable,
    records: Vec<Packed>,
    size: usize,
}

#[derive(Debug)]
struct Packed {
    partition_key: u64,
    explicit_hash_key: Option<u64>,
    data: Bytes,
}

impl Packer {
    /// An empty aggregate that is to have at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let table = || KeyTable { places: HashMap::new(), keys: Vec::new() };
        let (partition_keys, explicit_hash_keys) = (table(), table());
        Self { limit, partition_keys, explicit_hash_keys, records: Vec::new(), size: MAGIC.len() + DIGEST }
    }

    /// Whether the aggregate stays within its limit with that record too.
    #[must_use]
    pub fn fits(&self, user: &UserRecord) -> bool {
        self.size.saturating_add(self.growth(user)) <= self.limit
    }

    /// Adds a record. Does not ask whether it [fits](Packer::fits).
    pub fn push(&mut self, user: UserRecord) {
        self.size = self.size.saturating_add(self.growth(&user));
        let partition_key = self.partition_keys.place(user.partition_key);
        let explicit_hash_key = user.explicit_hash_key.map(|key| self.explicit_hash_keys.place(key));
        self.records.push(Packed { partition_key, explicit_hash_key, data: user.data });
    }

    /// How many records it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no record. Such an aggregate must not be sent: readers take it for damaged.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The exact bytes of the aggregate as it is now, magic bytes and digest included.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The aggregate.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.size);
        bytes.put_slice(&MAGIC);
        for (field, table) in [(PARTITION_KEYS, &self.partition_keys), (EXPLICIT_HASH_KEYS, &self.explicit_hash_keys)] {
            table.keys.iter().for_each(|key| put_bytes(&mut bytes, field, key.as_bytes()));
        }
        for record in &self.records {
            encode_key(RECORDS, WireType::LengthDelimited, &mut bytes);
            encode_varint(record.len() as u64, &mut bytes);
            record.put(&mut bytes);
        }
        let digest = Md5::digest(&bytes[MAGIC.len()..]);
        bytes.put_slice(&digest);
        bytes.freeze()
    }

    fn growth(&self, user: &UserRecord) -> usize {
        let (partition_key, key_growth) = self.partition_keys.would_place(PARTITION_KEYS, &user.partition_key);
        let explicit = user.explicit_hash_key.as_deref();
        let explicit = explicit.map(|key| self.explicit_hash_keys.would_place(EXPLICIT_HASH_KEYS, key));
        let hash_growth = explicit.map_or(0, |(_, growth)| growth);
        let record = record_len(partition_key, explicit.map(|(place, _)| place), user.data.len());
        key_growth + hash_growth + field_len(RECORDS, record)
    }
}

impl Packed {
    fn len(&self) -> usize {
        record_len(self.partition_key, self.explicit_hash_key, self.data.len())
    }

    fn put(&self, bytes: &mut BytesMut) {
        encode_key(PARTITION_KEY_INDEX, WireType::Varint, bytes);
        encode_varint(self.partition_key, bytes);
        if let Some(place) = self.explicit_hash_key {
            encode_key(EXPLICIT_HASH_KEY_INDEX, WireType::Varint, bytes);
            encode_varint(place, bytes);
        }
        put_bytes(bytes, DATA, &self.data);
    }
}

/// Distinct keys in the order they came.
#[derive(Debug)]
struct KeyTable {
    places: HashMap<String, u64>,
    keys: Vec<String>,
}

impl KeyTable {
    /// The place that a key has or would get, and the bytes by which the table would grow.
    fn would_place(&self, field: u32, key: &str) -> (u64, usize) {
        let known = self.places.get(key).map(|place| (*place, 0));
        known.unwrap_or_else(|| (self.keys.len() as u64, field_len(field, key.len())))
    }

    fn place(&mut self, key: String) -> u64 {
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = self.keys.len() as u64;
        self.keys.push(key.clone());
        self.places.insert(key, place);
        place
    }
}

fn put_bytes(bytes: &mut BytesMut, field: u32, content: &[u8]) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(content.len() as u64, bytes);
    bytes.put_slice(content);
}

/// The bytes of a length-delimited field.
const fn field_len(field: u32, content: usize) -> usize {
    key_len(field) + encoded_len_varint(content as u64) + content
}

/// The bytes of a record without those that announce it.
fn record_len(partition_key: u64, explicit_hash_key: Option<u64>, data: usize) -> usize {
    let explicit = explicit_hash_key.map_or(0, |place| key_len(EXPLICIT_HASH_KEY_INDEX) + encoded_len_varint(place));
    key_len(PARTITION_KEY_INDEX) + encoded_len_varint(partition_key) + explicit + field_len(DATA, data)
}

#[cfg(test)]
#[path = "tests/pack.rs"]
mod tests;
