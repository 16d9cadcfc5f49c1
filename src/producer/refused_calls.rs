//! Calls that were refused as a whole: their entries are sent again by smaller calls, and what was learned from them
//! limits the calls after them.

use super::batch_permission::{BatchPermission, Change, Refused};
use super::batcher::BatchLimits;
use super::completion::Completion;
use super::queue::Queue;
use super::record::Entry;
use super::types::Reply;
use crate::domain::{BindingError, FailureKind};
use std::collections::VecDeque;
use tokio::time::Instant;

/// What some regions and all older APIs accept in one `PutRecords`.
const OLD_MAX_BYTES: usize = 5 << 20;

#[derive(Debug)]
pub(super) struct RefusedCalls {
    limits: BatchLimits,
    permission: BatchPermission,
    /// Why batches are not allowed.
    permission_error: Option<BindingError>,
    /// Halves of refused batches; each is sent by its own call.
    halves: VecDeque<Vec<Entry>>,
    /// Entries of batches that are not allowed; each is sent by its own call.
    singles: VecDeque<Entry>,
}

impl RefusedCalls {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            permission: BatchPermission::new(),
            permission_error: None,
            halves: VecDeque::new(),
            singles: VecDeque::new(),
        }
    }

    /// The limits of the next call.
    pub(super) fn limits(&self, now: Instant) -> BatchLimits {
        let records = if self.permission.may_batch(now) { self.limits.records } else { 1 };
        BatchLimits { records, ..self.limits }
    }

    pub(super) fn batch_sent(&mut self, now: Instant) {
        self.permission.batch_sent(now);
    }

    /// Learns from a reply which calls are allowed.
    pub(super) fn observe(&mut self, component: &str, sent: usize, reply: &Reply, now: Instant) {
        let change = match reply {
            Ok(_) if sent > 1 => self.permission.batch_answered(),
            Ok(results) if results.iter().all(Result::is_ok) => self.permission.single_stored(),
            Err(error) if sent == 1 && error.lacks_permission() => {
                self.permission.single_refused(now);
                None
            }
            Ok(_) | Err(_) => None,
        };
        match change {
            Some(Change::OnlySingle) => {
                let error = self.permission_error.as_ref().map(tracing::field::display);
                tracing::warn!(
                    component,
                    error,
                    "calls with several records are not allowed; each record is sent by its own call"
                );
            }
            Some(Change::BatchesAllowed) => tracing::info!(component, "calls with several records are allowed again"),
            None => {}
        }
    }

    /// A batch was refused for lack of permission, and nothing of it was stored. False where its records cannot be sent
    /// by single calls either.
    pub(super) fn send_singly(&mut self, entries: &[Entry], error: &BindingError, now: Instant) -> bool {
        match self.permission.batch_refused(now) {
            Refused::Fail => false,
            Refused::SendSingly => {
                self.singles.extend(entries.iter().cloned());
                self.permission_error = Some(error.clone());
                true
            }
        }
    }

    /// A batch was refused for its content: sends each half by its own call, until the bad record is alone.
    pub(super) fn bisect(&mut self, mut entries: Vec<Entry>, bytes: usize, error: &BindingError) {
        let is_too_large = error.kind() == FailureKind::TooLarge;
        if is_too_large && bytes > OLD_MAX_BYTES && self.limits.bytes > OLD_MAX_BYTES {
            tracing::info!(bytes, limit = OLD_MAX_BYTES, "large call was refused; later calls are smaller");
            self.limits.bytes = OLD_MAX_BYTES;
        }
        let second = entries.split_off(entries.len() / 2);
        self.halves.extend([entries, second]);
    }

    /// The entries of the next call, those of them that are still awaited.
    pub(super) fn next(&mut self, queue: &mut Queue, completion: &mut Completion, now: Instant) -> Option<Vec<Entry>> {
        if self.permission.is_all_refused(now)
            && let Some(error) = &self.permission_error
        {
            for entry in std::mem::take(&mut self.singles) {
                entry.ids().iter().for_each(|id| completion.fail(queue, *id, error.clone(), now));
            }
        }
        while let Some(entries) = self.pop(now) {
            let awaited = entries.iter().filter_map(|entry| completion.still_awaited(queue, entry, now));
            let awaited: Vec<Entry> = awaited.collect();
            if !awaited.is_empty() {
                return Some(awaited);
            }
        }
        None
    }

    fn pop(&mut self, now: Instant) -> Option<Vec<Entry>> {
        if let Some(entry) = self.singles.pop_front() {
            return Some(vec![entry]);
        }
        let entries = self.halves.pop_front()?;
        if entries.len() == 1 || self.permission.may_batch(now) {
            return Some(entries);
        }
        self.singles.extend(entries);
        self.singles.pop_front().map(|entry| vec![entry])
    }
}
