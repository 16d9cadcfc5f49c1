//! Compares every result with the records in the stream.

use super::ledger::{Entry, Ledger, RecordState};
use super::plan::{FaultMode, Plan};
use bindd::aggregation::{JoinForm, unpack};
use bindd::domain::{BindingError, FailureKind, HashKeyRange, Outcome, SequenceNumber, ShardId};
use bindd::producer::{Aggregation, Ordering, Written};
use bindd::testing::{ModelSink, POISON, StoredRecord};
use bytes::Bytes;
use md5::{Digest, Md5};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How much later than its deadline a result may come.
const SLACK: Duration = Duration::from_millis(50);

pub(crate) struct Checker {
    pub(crate) plan: Arc<Plan>,
    pub(crate) sink: ModelSink,
    pub(crate) ledger: Ledger,
    /// The metrics page at the end.
    pub(crate) page: String,
    /// When the producer was closed.
    pub(crate) closed_at: Option<Instant>,
}

/// Counts of what happened in the runs. A simulation fails if one of them stays zero.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Coverage {
    stored: usize,
    not_done: usize,
    unknown: usize,
    cancelled: usize,
    twice: usize,
    aggregated: usize,
    shared_calls: usize,
    single_calls: usize,
    denied_calls: usize,
}

impl Coverage {
    fn counts(self) -> [(&'static str, usize); 9] {
        [
            ("stored", self.stored),
            ("not done", self.not_done),
            ("unknown", self.unknown),
            ("cancelled", self.cancelled),
            ("stored twice", self.twice),
            ("aggregated", self.aggregated),
            ("shared calls", self.shared_calls),
            ("single calls", self.single_calls),
            ("denied calls", self.denied_calls),
        ]
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.stored += other.stored;
        self.not_done += other.not_done;
        self.unknown += other.unknown;
        self.cancelled += other.cancelled;
        self.twice += other.twice;
        self.aggregated += other.aggregated;
        self.shared_calls += other.shared_calls;
        self.single_calls += other.single_calls;
        self.denied_calls += other.denied_calls;
    }

    pub(crate) fn missing(self) -> Vec<&'static str> {
        self.counts().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}

/// One copy of a record in the stream.
#[derive(Debug, Clone)]
struct StoredCopy {
    location: Location,
    shard: ShardId,
    sequence: SequenceNumber,
    sub_sequence: Option<u64>,
    data: Bytes,
    partition_key: Option<String>,
    explicit_hash_key: Option<u128>,
    /// The sink reported that it was stored.
    is_confirmed: bool,
    /// False for an aggregated record whose hash key is outside of the shard: readers drop it.
    is_readable: bool,
}

/// The position in the stream, and the index in the aggregate.
type Location = (usize, usize);
type Copies = HashMap<usize, Vec<StoredCopy>>;

impl Checker {
    pub(crate) fn check(&self) -> Result<Coverage, String> {
        if let Some(fault) = self.ledger.fault().or_else(|| self.sink.violation()) {
            return Err(fault);
        }
        let copies = self.copies()?;
        let entries = self.ledger.entries();
        let mut coverage = self.coverage();
        if let Some(unknown) = copies.keys().find(|id| **id >= entries.len()) {
            return Err(format!("record {unknown} is stored, but no caller sent it"));
        }
        for (id, entry) in entries.iter().enumerate() {
            let found = copies.get(&id).map_or(&[][..], Vec::as_slice);
            self.check_entry(entry, found, &mut coverage).map_err(|fault| format!("record {id}: {fault}"))?;
        }
        if self.plan.producer.ordering != Ordering::None {
            in_order(&entries, &copies)?;
        }
        self.calls()?;
        self.counts(&copies)?;
        Ok(coverage)
    }

    fn coverage(&self) -> Coverage {
        let calls = self.sink.calls();
        let (shared_calls, single_calls, denied_calls) = (calls.shared, calls.single, calls.denied);
        Coverage { shared_calls, single_calls, denied_calls, ..Coverage::default() }
    }

    fn check_entry(&self, entry: &Entry, found: &[StoredCopy], coverage: &mut Coverage) -> Result<(), String> {
        coverage.twice += usize::from(found.len() > 1);
        coverage.aggregated += found.iter().filter(|copy| copy.sub_sequence.is_some()).count();
        if let Some(changed) = found.iter().find(|copy| !is_unchanged(copy, entry)) {
            return Err(format!("it was stored changed: {changed:?} instead of {:?}", entry.record));
        }
        if self.is_sent_again_without_need(found) {
            return Err(format!("it was sent again although it was confirmed: {found:?}"));
        }
        match &entry.state {
            RecordState::Pending => return Err("it has no result".to_owned()),
            RecordState::Cancelled => coverage.cancelled += 1,
            RecordState::Completed { result, at } => {
                if *at > entry.deadline + SLACK {
                    return Err(format!("its result came {:?} after its deadline", *at - entry.deadline));
                }
                self.check_result(result, found, coverage)?;
                result.as_ref().map_or_else(|error| self.check_blame(entry, error), |_| Ok(()))?;
            }
        }
        if self.plan.faults == FaultMode::None && found.len() != 1 {
            return Err(format!("it was stored {} times without a fault", found.len()));
        }
        Ok(())
    }

    /// A confirmed record is not sent again. The exception is an aggregated one that may be in the wrong shard, because
    /// the shard map was stale: readers would drop it, so it is sent again as a single record.
    fn is_sent_again_without_need(&self, found: &[StoredCopy]) -> bool {
        let confirmed = || found.iter().filter(|copy| copy.is_confirmed);
        let packed = confirmed().filter(|copy| copy.sub_sequence.is_some()).count();
        let may_miss = self.plan.resharding.is_some() && self.plan.producer.aggregation == Aggregation::Shard;
        if may_miss { packed > 1 || confirmed().count() - packed > 1 } else { confirmed().count() > 1 }
    }

    fn check_result(
        &self,
        result: &Result<Written, BindingError>,
        found: &[StoredCopy],
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        match result {
            Ok(written) => {
                coverage.stored += 1;
                let is_named = |copy: &&StoredCopy| {
                    copy.shard == written.receipt.shard
                        && copy.sequence == written.receipt.sequence
                        && copy.sub_sequence == written.sub_sequence
                };
                match found.iter().find(is_named) {
                    None => Err(format!("the result is {written:?}, but the stream has {found:?}")),
                    Some(copy) if !copy.is_confirmed => Err(format!("{written:?} was never confirmed")),
                    Some(copy) if !copy.is_readable => Err(format!("{written:?} is in an aggregate of a wrong shard")),
                    Some(_) if written.attempts == 0 => Err("it was stored without an attempt".to_owned()),
                    Some(_) => Ok(()),
                }
            }
            Err(error) if self.plan.faults == FaultMode::None => Err(format!("{error:?} without a fault")),
            Err(error) if error.outcome() == Outcome::Unknown => {
                coverage.unknown += 1;
                Ok(())
            }
            Err(error) => {
                coverage.not_done += 1;
                let text = format!("the result is {error:?}, but it is stored: {found:?}");
                if found.is_empty() { Ok(()) } else { Err(text) }
            }
        }
    }

    /// A record does not fail because of another one, and an admitted record does not fail because the producer closes.
    fn check_blame(&self, entry: &Entry, error: &BindingError) -> Result<(), String> {
        let (size, sink) = (entry.record.size(), &self.plan.sink);
        let (kind, most) = (error.kind(), sink.max_record_size.min(sink.max_call_size));
        let was_admitted = entry.is_single && self.closed_at.is_none_or(|closed| entry.submitted < closed);
        let is_wrong_kind = kind == FailureKind::Caller && !entry.record.data.starts_with(POISON)
            || kind == FailureKind::TooLarge && size <= most
            || kind == FailureKind::Closed && was_admitted;
        if is_wrong_kind { Err(format!("the result is {error:?}")) } else { Ok(()) }
    }

    fn copies(&self) -> Result<Copies, String> {
        let shards = self.sink.shards().into_iter();
        let ranges: HashMap<ShardId, HashKeyRange> =
            shards.filter_map(|shard| Some((shard.id, shard.hash_range?))).collect();
        let mut copies = Copies::new();
        for (location, stored) in self.sink.stored().iter().enumerate() {
            let found = match self.plan.producer.aggregation {
                Aggregation::Joined(form) => split_copies(location, stored, form)?,
                Aggregation::None | Aggregation::Key | Aggregation::Shard => {
                    unpack_copies(location, stored, ranges[&stored.shard])?
                }
            };
            let last = found.len() - 1;
            for (index, copy) in found.into_iter().enumerate() {
                let id = id_of(&copy.data).ok_or_else(|| format!("{copy:?} has no id"))?;
                if index < last && self.plan.ends_batch(id) {
                    return Err(format!("record {id} ends its batch, and others follow it in {location}"));
                }
                copies.entry(id).or_default().push(copy);
            }
        }
        Ok(copies)
    }

    /// Checks the calls to the sink.
    fn calls(&self) -> Result<(), String> {
        let (calls, settings) = (self.sink.calls(), &self.plan.producer);
        let batching = settings.batching;
        if calls.max_open > settings.max_in_flight {
            return Err(format!("{} calls were open, {} are allowed", calls.max_open, settings.max_in_flight));
        }
        let is_single = !batching.is_enabled || settings.ordering == Ordering::Strict;
        if is_single && calls.shared > 0 {
            return Err("records shared a call although they must not".to_owned());
        }
        if calls.max_records > batching.max_records || calls.max_bytes > batching.max_bytes {
            return Err(format!("{calls:?} is beyond {batching:?}"));
        }
        Ok(())
    }

    fn counts(&self, copies: &Copies) -> Result<(), String> {
        for gauge in ["queue_bytes", "queue_records"] {
            if self.metric(gauge)? != 0 {
                return Err(format!("{gauge} is {} at the end", self.metric(gauge)?));
            }
        }
        let surplus: usize = copies.values().map(|found| found.len() - 1).sum();
        let counted = self.metric("duplicates_possible_total")?;
        if surplus > counted {
            return Err(format!("{surplus} duplicates are stored, {counted} were counted as possible"));
        }
        Ok(())
    }

    fn metric(&self, name: &str) -> Result<usize, String> {
        let start = format!("bindd_output_{name}{{component=\"orders\"}} ");
        let value = self.page.lines().find_map(|line| line.strip_prefix(&start));
        value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("{name} is not on the metrics page"))
    }
}

fn plain_copy(location: usize, stored: &StoredRecord) -> StoredCopy {
    StoredCopy {
        location: (location, 0),
        shard: stored.shard.clone(),
        sequence: stored.sequence.clone(),
        sub_sequence: None,
        data: stored.record.data.clone(),
        partition_key: stored.record.partition_key.as_ref().map(|key| key.as_str().to_owned()),
        explicit_hash_key: stored.record.explicit_hash_key,
        is_confirmed: stored.is_confirmed,
        is_readable: true,
    }
}

/// The members of a joined record, each as it is when it is alone.
fn split_copies(location: usize, stored: &StoredRecord, form: JoinForm) -> Result<Vec<StoredCopy>, String> {
    let (plain, data) = (plain_copy(location, stored), &stored.record.data);
    let members: Vec<Bytes> = match form {
        JoinForm::Lines => data.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect(),
        JoinForm::JsonArray => {
            let values: Vec<serde_json::Value> = serde_json::from_slice(data).map_err(|error| error.to_string())?;
            values.iter().map(|value| format!("[{value}]").into()).collect()
        }
    };
    let is_single = members.len() == 1;
    let copy = |(index, data): (usize, Bytes)| StoredCopy {
        location: (location, index),
        sub_sequence: (!is_single).then_some(index as u64),
        data,
        ..plain.clone()
    };
    Ok(members.into_iter().enumerate().map(copy).collect())
}

fn unpack_copies(location: usize, stored: &StoredRecord, range: HashKeyRange) -> Result<Vec<StoredCopy>, String> {
    let plain = plain_copy(location, stored);
    let Some(users) = unpack(&stored.record.data).map_err(|damage| format!("an aggregate was damaged: {damage}"))?
    else {
        return Ok(vec![plain]);
    };
    if users.len() == 1 {
        return Err("an aggregate of one record was stored".to_owned());
    }
    let copy = |(index, user): (usize, bindd::aggregation::UserRecord)| {
        let explicit_hash_key = user.explicit_hash_key.map(|key| key.parse::<u128>().unwrap());
        let hash =
            explicit_hash_key.unwrap_or_else(|| u128::from_be_bytes(Md5::digest(user.partition_key.as_bytes()).into()));
        StoredCopy {
            location: (location, index),
            sub_sequence: Some(index as u64),
            data: user.data,
            partition_key: Some(user.partition_key),
            explicit_hash_key,
            is_readable: (range.start..=range.end).contains(&hash),
            ..plain.clone()
        }
    };
    Ok(users.into_iter().enumerate().map(copy).collect())
}

fn is_unchanged(copy: &StoredCopy, entry: &Entry) -> bool {
    let record = &entry.record;
    copy.data == record.data
        && copy.partition_key.as_deref() == record.partition_key.as_ref().map(|key| key.as_str())
        && copy.explicit_hash_key == record.explicit_hash_key
}

/// The id in `record:17:…`.
fn id_of(data: &Bytes) -> Option<usize> {
    let text = std::str::from_utf8(data).ok()?;
    text.split(':').nth(1)?.parse().ok()
}

/// The successful records of each caller and key are stored in the order in which the caller sent them.
fn in_order(entries: &[Entry], copies: &Copies) -> Result<(), String> {
    let mut last: HashMap<(u64, &str), (usize, Location)> = HashMap::new();
    for (id, entry) in entries.iter().enumerate() {
        let (RecordState::Completed { result: Ok(_), .. }, Some(key)) = (&entry.state, &entry.record.partition_key)
        else {
            continue;
        };
        let Some(location) = copies.get(&id).and_then(|found| found.iter().map(|copy| copy.location).min()) else {
            continue;
        };
        if let Some((before, earlier)) = last.insert((entry.caller, key.as_str()), (id, location))
            && earlier > location
        {
            return Err(format!(
                "record {id} is stored at {location:?}, before {before} of the same key, at {earlier:?}"
            ));
        }
    }
    Ok(())
}
