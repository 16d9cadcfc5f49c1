//! What callers handed in and what they were told.

use bindd::domain::{BindingError, NewRecord};
use bindd::producer::Written;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// One record that a caller handed in. Its place in the ledger is its id, which is written into its data.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) caller: u64,
    pub(crate) record: NewRecord,
    pub(crate) deadline: Instant,
    pub(crate) submitted: Instant,
    /// Handed in by a call of its own, which never waits at the door.
    pub(crate) is_single: bool,
    pub(crate) end: End,
}

#[derive(Debug, Clone)]
pub(crate) enum End {
    /// Nobody was told anything.
    Open,
    /// The caller went away.
    Cancelled,
    Answered {
        answer: Result<Written, BindingError>,
        at: Instant,
    },
}

/// Clones are the same ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    entries: Arc<Mutex<Vec<Entry>>>,
    fault: Arc<Mutex<Option<String>>>,
}

impl Ledger {
    /// Opens an entry; `record` makes the record from its id.
    pub(crate) fn open(&self, caller: u64, deadline: Instant, record: impl FnOnce(usize) -> NewRecord) -> usize {
        let submitted = Instant::now();
        let mut entries = self.entries.lock().unwrap();
        let id = entries.len();
        entries.push(Entry { caller, record: record(id), deadline, submitted, is_single: false, end: End::Open });
        id
    }

    pub(crate) fn goes_alone(&self, id: usize) {
        self.entries.lock().unwrap()[id].is_single = true;
    }

    pub(crate) fn record(&self, id: usize) -> NewRecord {
        self.entries.lock().unwrap()[id].record.clone()
    }

    pub(crate) fn answered(&self, id: usize, answer: Result<Written, BindingError>) {
        let before =
            std::mem::replace(&mut self.entries.lock().unwrap()[id].end, End::Answered { answer, at: Instant::now() });
        if !matches!(before, End::Open) {
            self.accuse(format!("record {id} was answered although it was {before:?}"));
        }
    }

    /// The caller goes away from those that are still open.
    pub(crate) fn cancelled(&self, ids: &[usize]) {
        let mut entries = self.entries.lock().unwrap();
        for id in ids {
            if matches!(entries[*id].end, End::Open) {
                entries[*id].end = End::Cancelled;
            }
        }
    }

    pub(crate) fn accuse(&self, fault: String) {
        self.fault.lock().unwrap().get_or_insert(fault);
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap().clone()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }
}
