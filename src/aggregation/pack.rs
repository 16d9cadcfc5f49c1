//! Packs aggregates.
//!
//! The message is written field by field instead of with `prost`, so that its exact size is always known and each payload is
//! copied only once.

use super::UserRecord;
use super::format::{DIGEST_LEN, MAGIC};
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

/// Packs records into one aggregate.
#[cfg(any(test, feature = "testing"))]
#[must_use]
pub fn pack(users: &[UserRecord]) -> Bytes {
    let mut packer = Packer::new(usize::MAX);
    users.iter().cloned().for_each(|user| packer.push(user));
    packer.finish()
}

/// Collects records for one aggregate, in order: the sub-sequence number of each is its index. Always knows the size of the
/// aggregate, magic bytes and digest included.
#[derive(Debug)]
pub struct Packer {
    limit: usize,
    partition_keys: KeyTable,
    explicit_hash_keys: KeyTable,
    records: Vec<PackedRecord>,
    size: usize,
}

#[derive(Debug)]
struct PackedRecord {
    partition_key: u64,
    explicit_hash_key: Option<u64>,
    data: Bytes,
}

impl Packer {
    /// An empty aggregate for at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            partition_keys: KeyTable::default(),
            explicit_hash_keys: KeyTable::default(),
            records: Vec::new(),
            size: MAGIC.len() + DIGEST_LEN,
        }
    }

    /// Whether the aggregate stays within its limit if this record is added.
    #[must_use]
    pub fn fits(&self, user: &UserRecord) -> bool {
        self.size.saturating_add(self.growth(user)) <= self.limit
    }

    /// Whether a payload of so many bytes may fit: false excludes a record before its keys are known.
    #[must_use]
    pub const fn may_fit(&self, data: usize) -> bool {
        self.size.saturating_add(data) <= self.limit
    }

    /// Adds a record, whether it [fits](Packer::fits) or not.
    pub fn push(&mut self, user: UserRecord) {
        self.size = self.size.saturating_add(self.growth(&user));
        let partition_key = self.partition_keys.insert(user.partition_key);
        let explicit_hash_key = user.explicit_hash_key.map(|key| self.explicit_hash_keys.insert(key));
        self.records.push(PackedRecord { partition_key, explicit_hash_key, data: user.data });
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// An aggregate without records must not be sent: readers treat it as corrupt.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The exact size in bytes, magic bytes and digest included.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

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
        let (partition_key, key_growth) = self.partition_keys.index_and_growth(PARTITION_KEYS, &user.partition_key);
        let explicit = user.explicit_hash_key.as_deref();
        let explicit = explicit.map(|key| self.explicit_hash_keys.index_and_growth(EXPLICIT_HASH_KEYS, key));
        let hash_growth = explicit.map_or(0, |(_, growth)| growth);
        let record = record_len(partition_key, explicit.map(|(index, _)| index), user.data.len());
        key_growth + hash_growth + field_len(RECORDS, record)
    }
}

impl PackedRecord {
    fn len(&self) -> usize {
        record_len(self.partition_key, self.explicit_hash_key, self.data.len())
    }

    fn put(&self, bytes: &mut BytesMut) {
        encode_key(PARTITION_KEY_INDEX, WireType::Varint, bytes);
        encode_varint(self.partition_key, bytes);
        if let Some(index) = self.explicit_hash_key {
            encode_key(EXPLICIT_HASH_KEY_INDEX, WireType::Varint, bytes);
            encode_varint(index, bytes);
        }
        put_bytes(bytes, DATA, &self.data);
    }
}

/// Distinct keys, in the order in which they were added.
#[derive(Debug, Default)]
struct KeyTable {
    indexes: HashMap<String, u64>,
    keys: Vec<String>,
}

impl KeyTable {
    /// The index that a key has or would get, and the bytes by which the table would grow.
    fn index_and_growth(&self, field: u32, key: &str) -> (u64, usize) {
        let known = self.indexes.get(key).map(|index| (*index, 0));
        known.unwrap_or_else(|| (self.keys.len() as u64, field_len(field, key.len())))
    }

    fn insert(&mut self, key: String) -> u64 {
        if let Some(index) = self.indexes.get(&key) {
            return *index;
        }
        let index = self.keys.len() as u64;
        self.keys.push(key.clone());
        self.indexes.insert(key, index);
        index
    }
}

fn put_bytes(bytes: &mut BytesMut, field: u32, content: &[u8]) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(content.len() as u64, bytes);
    bytes.put_slice(content);
}

/// Length of a length-delimited field.
const fn field_len(field: u32, content: usize) -> usize {
    key_len(field) + encoded_len_varint(content as u64) + content
}

/// Length of a record, without the key and length before it.
fn record_len(partition_key: u64, explicit_hash_key: Option<u64>, data: usize) -> usize {
    let explicit = explicit_hash_key.map_or(0, |index| key_len(EXPLICIT_HASH_KEY_INDEX) + encoded_len_varint(index));
    key_len(PARTITION_KEY_INDEX) + encoded_len_varint(partition_key) + explicit + field_len(DATA, data)
}

#[cfg(test)]
#[path = "tests/pack.rs"]
mod tests;
