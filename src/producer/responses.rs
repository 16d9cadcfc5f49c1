//! What a reply means for each record of its call.

use super::completion::Completion;
use super::errors;
use super::queue::Queue;
use super::record::{Entry, OrderingKey, RecordId};
use super::refused_calls::RefusedCalls;
use super::retry::{RetryLimits, is_content_refused, retry_at};
use super::settings::{Aggregation, Ordering, ProducerSettings};
use super::types::{Reply, Written};
use crate::domain::{BindingError, FailureKind, Receipt, SequenceNumber, ShardId};
use crate::resilience::RetryBudget;
use lru::LruCache;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// A call in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: usize,
    pub(super) operation: &'static str,
    pub(super) begun: Instant,
}

/// Limits the retries of all records together, so that an outage is not met with more load.
#[derive(Debug)]
pub(super) struct RetryBudgets {
    pub(super) calls: RetryBudget,
    pub(super) records: RetryBudget,
}

/// The delay before records that failed together are sent again: the same fraction of each one's backoff, and at least what
/// the retry budget demands.
#[derive(Debug, Clone, Copy)]
struct Delay {
    fraction: f64,
    at_least: Duration,
}

/// Handles one reply. Result i is for entry i.
pub(super) struct ReplyHandler<'a> {
    pub(super) settings: &'a ProducerSettings,
    pub(super) queue: &'a mut Queue,
    pub(super) completion: &'a mut Completion,
    pub(super) refused_calls: &'a mut RefusedCalls,
    pub(super) budgets: &'a mut RetryBudgets,
    pub(super) random: &'a mut fastrand::Rng,
    /// The last sequence number of each key, where the order is strict.
    pub(super) last_numbers: &'a mut LruCache<OrderingKey, SequenceNumber>,
    pub(super) now: Instant,
    pub(super) state: ReplyState,
}

/// What is collected while a reply is handled.
#[derive(Debug, Default)]
pub(super) struct ReplyState {
    /// The records to send again, in the order in which they were sent.
    retries: Vec<(RecordId, Instant)>,
    /// The jitter that all records of a shard share.
    fractions: HashMap<Option<ShardId>, f64>,
    /// Shards that were throttled; each counts once.
    throttled: HashSet<Option<ShardId>>,
}

impl ReplyHandler<'_> {
    pub(super) fn handle(mut self, call: InFlight, reply: Reply) {
        let is_batch = call.entries.len() > 1;
        match reply {
            Ok(results) => self.handle_results(&call.entries, results),
            // A single entry has one shard and is the only possible cause, so it fails as in a batch.
            Err(error) if !is_batch => self.handle_results(&call.entries, vec![Err(error)]),
            Err(error) if error.lacks_permission() => {
                if self.refused_calls.send_singly(&call.entries, &error, self.now) {
                    self.split(&call.entries, &error);
                } else {
                    self.call_failed(&call.entries, &error);
                }
            }
            Err(error) if is_content_refused(error.kind()) => {
                self.split(&call.entries, &error);
                self.refused_calls.bisect(call.entries, call.bytes, &error);
            }
            Err(error) => self.call_failed(&call.entries, &error),
        }
        self.queue.requeue(&self.state.retries, self.now);
    }

    fn handle_results(&mut self, entries: &[Entry], results: Vec<Result<Receipt, BindingError>>) {
        for (entry, result) in entries.iter().zip(results) {
            match result {
                Ok(receipt) => self.stored(entry, &receipt),
                Err(error) if is_content_refused(error.kind()) && matches!(entry, Entry::Aggregate(_)) => {
                    self.unpack(entry, &error);
                }
                Err(error) => self.entry_failed(entry, &error),
            }
        }
    }

    fn stored(&mut self, entry: &Entry, receipt: &Receipt) {
        let predicted = self.shard_of(entry);
        let is_predicted = predicted.as_ref() == Some(&receipt.shard);
        self.queue.shards.observed_shard(predicted.as_ref(), &receipt.shard, self.now);
        let is_packed = matches!(entry, Entry::Aggregate(_));
        // Consumers ignore a packed record whose hash key does not belong to the shard.
        let must_fit = is_packed && self.settings.aggregation == Aggregation::Shard && !is_predicted;
        for (id, index) in entry.ids().iter().zip(0_u64..) {
            let Some(record) = self.queue.get(*id) else { continue };
            if must_fit && !self.queue.shards.covers(&receipt.shard, record.hash) {
                self.forbid_packing(*id);
                let delay = Delay { fraction: 0.0, at_least: Duration::ZERO };
                self.attempt_failed(*id, &errors::misplaced(), delay);
                continue;
            }
            let attempts = record.attempts.count;
            if let Some(key) = record.key.clone().filter(|_| self.settings.ordering == Ordering::Strict) {
                self.last_numbers.put(key, receipt.sequence.clone());
            }
            let sub_sequence = is_packed.then_some(index);
            let written = Written { receipt: receipt.clone(), sub_sequence, attempts };
            self.completion.complete(self.queue, *id, Ok(written), self.now);
        }
    }

    fn entry_failed(&mut self, entry: &Entry, error: &BindingError) {
        let shard = self.shard_of(entry).or_else(|| shard_in(error));
        if error.kind() == FailureKind::Throttled && self.state.throttled.insert(shard.clone()) {
            self.queue.shards.throttled(shard.as_ref(), self.now);
        }
        let fraction = *self.state.fractions.entry(shard).or_insert_with(|| self.random.f64());
        for id in entry.ids() {
            let may_retry = error.may_retry();
            let at_least = if may_retry { self.budgets.records.take(self.now) } else { Duration::ZERO };
            let before = self.state.retries.len();
            self.attempt_failed(*id, error, Delay { fraction, at_least });
            if may_retry && self.state.retries.len() == before {
                self.budgets.records.give_back();
            }
        }
    }

    /// Some record of the aggregate is bad, so all are sent again as plain records. They go back to the queue instead of
    /// into calls at once, because records of one key must be sent one after the other.
    fn unpack(&mut self, entry: &Entry, error: &BindingError) {
        self.note_refusal(entry, error);
        for id in entry.ids() {
            self.forbid_packing(*id);
            self.retry(*id, self.now, error);
        }
    }

    /// The call failed for all its records, and none of them is the cause.
    fn call_failed(&mut self, entries: &[Entry], error: &BindingError) {
        if error.kind() == FailureKind::Throttled {
            self.queue.shards.throttled(None, self.now);
        }
        let may_retry = error.may_retry();
        let at_least = if may_retry { self.budgets.calls.take(self.now) } else { Duration::ZERO };
        let delay = Delay { fraction: self.random.f64(), at_least };
        for id in entries.iter().flat_map(Entry::ids) {
            self.attempt_failed(*id, error, delay);
        }
        if may_retry && self.state.retries.is_empty() {
            self.budgets.calls.give_back();
        }
    }

    /// The entries of a refused call wait to be sent in smaller calls.
    fn split(&mut self, entries: &[Entry], error: &BindingError) {
        entries.iter().for_each(|entry| self.note_refusal(entry, error));
        self.queue.mark_split(entries.iter().flat_map(Entry::ids));
    }

    /// Notes an attempt that uses up no retry of these records, since most of them are not the cause.
    fn note_refusal(&mut self, entry: &Entry, error: &BindingError) {
        for id in entry.ids() {
            if let Some(record) = self.queue.get_mut(*id) {
                record.attempt_failed(error);
                record.attempts.split += 1;
            }
        }
    }

    /// Decides whether a record is sent again, or fails.
    fn attempt_failed(&mut self, id: RecordId, error: &BindingError, delay: Delay) {
        let Some(record) = self.queue.get_mut(id) else { return };
        record.attempt_failed(error);
        let mut policy = self.settings.retry;
        if record.options.is_single_attempt {
            policy.max_retries = Some(0);
        }
        let fail_if_throttled = record.options.fail_if_throttled || self.settings.rate_limit.fail_if_throttled;
        let limits = RetryLimits { policy, deadline: record.options.deadline, fail_if_throttled };
        let attempts = record.attempts.count.saturating_sub(record.attempts.split);
        let first = record.attempts.first.unwrap_or(self.now);
        let delay = policy.wait(attempts, delay.fraction, error).max(delay.at_least);
        match retry_at(error, (attempts, first), &limits, delay, self.now) {
            Some(at) => self.retry(id, at, error),
            None => self.completion.fail(self.queue, id, error.clone(), self.now),
        }
    }

    /// Sends a record again, unless its caller went away or its key was stopped while it was in flight.
    fn retry(&mut self, id: RecordId, due: Instant, error: &BindingError) {
        let Some(record) = self.queue.get_mut(id) else { return };
        if record.responder.is_gone() {
            return self.completion.fail(self.queue, id, error.clone(), self.now);
        }
        if let Err(stopped) = self.completion.check_key(record.key.as_ref(), self.now) {
            return self.completion.refuse(self.queue, id, stopped, self.now);
        }
        // The refusal of an aggregate says nothing about each of its records, so it must not become their answer.
        if error.may_retry() {
            record.attempts.last_error = Some(error.clone());
        }
        self.state.retries.push((id, due));
    }

    fn forbid_packing(&mut self, id: RecordId) {
        if let Some(record) = self.queue.get_mut(id) {
            record.may_pack = false;
        }
    }

    /// The predicted shard.
    fn shard_of(&self, entry: &Entry) -> Option<ShardId> {
        self.queue.get(*entry.ids().first()?)?.shard.clone()
    }
}

/// The shard that the error of the service names.
fn shard_in(error: &BindingError) -> Option<ShardId> {
    let named = error.details().iter().find(|(key, _)| *key == "shardId");
    named.map(|(_, shard)| ShardId::new(shard.as_str()))
}
