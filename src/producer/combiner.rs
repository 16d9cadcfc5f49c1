//! One Kinesis record of several user records, in the format of the component.

use super::record::PendingRecord;
use super::settings::Aggregation;
use crate::aggregation::{Joiner, Packer, UserRecord};
use crate::domain::NewRecord;
use bytes::Bytes;

/// An upper bound of the bytes that the format of the Kinesis Producer Library adds: to each further user record, and to
/// the first two together.
const PACK_OVERHEAD: usize = 160;

/// Collects user records. Always knows the size of the payload.
#[derive(Debug)]
pub(super) enum Combiner {
    Packer(Packer),
    Joiner(Joiner),
}

impl Combiner {
    /// `None` where records are not combined. `limit` is that of the payload, in bytes.
    pub(super) fn new(first: &NewRecord, aggregation: Aggregation, limit: usize) -> Option<Self> {
        match aggregation {
            Aggregation::None => None,
            Aggregation::Key | Aggregation::Shard => {
                let mut packer = Packer::new(limit);
                packer.push(user_record(first));
                Some(Self::Packer(packer))
            }
            Aggregation::Joined(form) => Some(Self::Joiner(Joiner::new(form, first.data.clone(), limit))),
        }
    }

    /// The most bytes by which a record makes the payload larger.
    pub(super) fn max_growth(&self, record: &PendingRecord) -> usize {
        match self {
            Self::Packer(_) => record.size + PACK_OVERHEAD,
            Self::Joiner(joiner) => joiner.growth(&record.record.data),
        }
    }

    /// Adds a record, whether it fits or not.
    pub(super) fn push(&mut self, record: &NewRecord) {
        match self {
            Self::Packer(packer) => packer.push(user_record(record)),
            Self::Joiner(joiner) => joiner.push(record.data.clone()),
        }
    }

    /// Adds a record if it fits.
    pub(super) fn try_push(&mut self, record: &NewRecord) -> bool {
        match self {
            Self::Packer(packer) => {
                // The size of the payload excludes most before any key is copied.
                let user = packer.may_fit(record.data.len()).then(|| user_record(record));
                let user = user.filter(|user| packer.fits(user));
                user.map(|user| packer.push(user)).is_some()
            }
            Self::Joiner(joiner) => {
                let fits = joiner.fits(&record.data);
                if fits {
                    joiner.push(record.data.clone());
                }
                fits
            }
        }
    }

    pub(super) const fn size(&self) -> usize {
        match self {
            Self::Packer(packer) => packer.size(),
            Self::Joiner(joiner) => joiner.size(),
        }
    }

    pub(super) const fn count(&self) -> usize {
        match self {
            Self::Packer(packer) => packer.len(),
            Self::Joiner(joiner) => joiner.count(),
        }
    }

    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::Packer(packer) => packer.finish(),
            Self::Joiner(joiner) => joiner.finish(),
        }
    }
}

fn user_record(record: &NewRecord) -> UserRecord {
    UserRecord {
        partition_key: record.partition_key.as_ref().map(|key| key.as_str().to_owned()).unwrap_or_default(),
        explicit_hash_key: record.explicit_hash_key.map(|hash| hash.to_string()),
        data: record.data.clone(),
    }
}
