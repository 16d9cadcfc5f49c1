//! The records of the callers, and their results.

use bindd::domain::{BindingError, NewRecord};
use bindd::producer::Written;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// A record of a caller. Its id is its index in the ledger, and part of its data.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) caller: u64,
    pub(crate) record: NewRecord,
    pub(crate) deadline: Instant,
    pub(crate) submitted: Instant,
    /// Sent by `put`, not by `put_all`.
    pub(crate) is_single: bool,
    pub(crate) state: RecordState,
}

#[derive(Debug, Clone)]
pub(crate) enum RecordState {
    Pending,
    Cancelled,
    Completed { result: Result<Written, BindingError>, at: Instant },
}

/// Clones share their entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    entries: Arc<Mutex<Vec<Entry>>>,
    fault: Arc<Mutex<Option<String>>>,
}

impl Ledger {
    /// Adds an entry; `record` creates the record from its id.
    pub(crate) fn open(&self, caller: u64, deadline: Instant, record: impl FnOnce(usize) -> NewRecord) -> usize {
        let submitted = Instant::now();
        let mut entries = self.entries.lock().unwrap();
        let id = entries.len();
        entries.push(Entry {
            caller,
            record: record(id),
            deadline,
            submitted,
            is_single: false,
            state: RecordState::Pending,
        });
        id
    }

    pub(crate) fn set_single(&self, id: usize) {
        self.entries.lock().unwrap()[id].is_single = true;
    }

    pub(crate) fn record(&self, id: usize) -> NewRecord {
        self.entries.lock().unwrap()[id].record.clone()
    }

    pub(crate) fn completed(&self, id: usize, result: Result<Written, BindingError>) {
        let before = std::mem::replace(
            &mut self.entries.lock().unwrap()[id].state,
            RecordState::Completed { result, at: Instant::now() },
        );
        if !matches!(before, RecordState::Pending) {
            self.report(format!("record {id} got a result although it was {before:?}"));
        }
    }

    /// Marks the records without a result as cancelled.
    pub(crate) fn cancelled(&self, ids: &[usize]) {
        let mut entries = self.entries.lock().unwrap();
        for id in ids {
            if matches!(entries[*id].state, RecordState::Pending) {
                entries[*id].state = RecordState::Cancelled;
            }
        }
    }

    pub(crate) fn report(&self, fault: String) {
        self.fault.lock().unwrap().get_or_insert(fault);
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap().clone()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }
}
