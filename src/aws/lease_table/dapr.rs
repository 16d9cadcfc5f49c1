//! Reads the lease table of daprd's Kinesis input (vmware-go-kcl): hash key `ShardID`, one row for each shard. Never writes it.

use super::super::Item;
use super::store::LeaseTable;
use crate::domain::{Checkpoint, LeaseError, RecordPosition, ShardId};

const SHARD: &str = "ShardID";
const CHECKPOINT: &str = "Checkpoint";
const PARENT: &str = "ParentShardId";
const OWNER: &str = "AssignedTo";
const TIMEOUT: &str = "LeaseTimeout";
const SHARD_END: &str = "SHARD_END";
/// Those of Kinesis have 56 digits; emulators have fewer.
const MIN_DIGITS: usize = 20;
/// Beyond every index in an aggregate, and small enough for the KCL, which reads our rows.
const WHOLE_RECORD: u64 = i64::MAX.unsigned_abs();

/// A row of daprd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaprLease {
    pub shard: ShardId,
    /// The last record of the last batch that was handed to the app; `None` while daprd had read none.
    pub checkpoint: Option<Checkpoint>,
    pub parent: Option<ShardId>,
    /// The consumer name, which all replicas of daprd share.
    pub owner: Option<String>,
    /// When the lease ends unless it is renewed, in RFC 3339. A running daprd renews it every 2.5 s, for 10 s.
    pub lease_timeout: Option<String>,
}

impl LeaseTable {
    /// All rows, if this is a table of daprd. Reads consistently.
    ///
    /// # Errors
    /// When there is no such table, or it is not one of daprd, or could not be read.
    pub async fn dapr_rows(&self) -> Result<Vec<DaprLease>, LeaseError> {
        let mut rows = Vec::new();
        for item in &super::admin::retrying(|| self.table.scan()).await? {
            rows.push(row(item).map_err(|problem| {
                self.table.unusable(&format!("it is not a lease table of daprd: {problem}; correct its name"))
            })?);
        }
        rows.sort_by(|one: &DaprLease, other| one.shard.cmp(&other.shard));
        Ok(rows)
    }
}

fn row(item: &Item) -> Result<DaprLease, String> {
    // Go leaves texts empty where it has none.
    let text = |name: &str| match item.get(name) {
        None => Ok(None),
        Some(value) => match value.as_s() {
            Ok(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Err(_) => Err(format!("attribute {name} is not a string (S)")),
        },
    };
    let shard = text(SHARD)?.ok_or_else(|| format!("a row has no attribute {SHARD}"))?;
    let checkpoint = match text(CHECKPOINT)?.as_deref() {
        None => None,
        Some(SHARD_END) => Some(Checkpoint::Ended),
        Some(digits) => {
            let sequence =
                Some(digits).filter(|digits| digits.len() >= MIN_DIGITS).and_then(|digits| digits.parse().ok());
            let sequence = sequence.ok_or_else(|| {
                format!("attribute {CHECKPOINT} of {shard} is neither a sequence number of Kinesis nor {SHARD_END}")
            })?;
            // daprd hands the records of an aggregate over together.
            Some(Checkpoint::After(RecordPosition { sequence, sub_sequence: WHOLE_RECORD }))
        }
    };
    Ok(DaprLease {
        checkpoint,
        parent: text(PARENT)?.map(ShardId::new),
        owner: text(OWNER)?,
        lease_timeout: text(TIMEOUT)?,
        shard: ShardId::new(shard),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue;

    fn item(pairs: &[(&str, &str)]) -> Item {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), AttributeValue::S((*text).to_owned()))).collect()
    }

    #[test]
    fn rows_of_daprd_are_read() {
        let sequence = "49590338271490256608559692538361571095921575989136588898";
        let read = row(&item(&[
            ("ShardID", "shardId-000000000001"),
            ("AssignedTo", "shop"),
            ("LeaseTimeout", "2026-11-27T13:17:09.123456789Z"),
            ("Checkpoint", sequence),
            ("ParentShardId", "shardId-000000000000"),
            ("ClaimRequest", "other"),
        ]))
        .unwrap();
        let Some(Checkpoint::After(position)) = &read.checkpoint else { panic!("{read:?}") };
        assert_eq!(position.sequence.as_str(), sequence);
        assert_eq!((read.owner.as_deref(), read.parent.unwrap().as_str()), (Some("shop"), "shardId-000000000000"));
        let ended = row(&item(&[("ShardID", "s"), ("Checkpoint", "SHARD_END"), ("ParentShardId", "")])).unwrap();
        assert_eq!((ended.checkpoint, ended.parent), (Some(Checkpoint::Ended), None));
        assert_eq!(row(&item(&[("ShardID", "s")])).unwrap().checkpoint, None);
    }

    #[test]
    fn other_rows_are_refused() {
        for pairs in [
            &[("leaseKey", "s")][..],
            &[("ShardID", "s"), ("Checkpoint", "LATEST")],
            &[("ShardID", "s"), ("Checkpoint", "99999")],
        ] {
            assert!(row(&item(pairs)).is_err(), "{pairs:?}");
        }
        let number = Item::from([("ShardID".to_owned(), AttributeValue::N("1".to_owned()))]);
        assert!(row(&number).unwrap_err().contains("not a string"));
    }
}
