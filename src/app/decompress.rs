//! Decompresses records before they are delivered, within limits, so that a small record cannot fill the memory.

use crate::domain::{BindingEvent, Decompress, DecompressFailure};
use crate::gzip::{self, MAX_RECORD};
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The largest size of all records of a request together after decompression, in bytes.
const MAX_REQUEST: usize = 40 << 20;
/// For the decompressed records of all requests of the process, with their encoded form; others wait.
const MAX_PROCESS: usize = 128 << 20;
/// What a record takes that is encoded: the data, and at most twice as much in the body.
const ENCODED: usize = 3;
// Otherwise a request of the largest size would wait for ever.
const _: () = assert!(MAX_REQUEST * ENCODED <= MAX_PROCESS);
/// The unit in which memory is reserved.
const UNIT: usize = 1 << 10;

/// The memory for decompressed records.
#[derive(Debug)]
pub(super) struct Decompressor(Semaphore);

impl Default for Decompressor {
    fn default() -> Self {
        Self(Semaphore::new(MAX_PROCESS / UNIT))
    }
}

/// Why records were not decompressed; they are delivered as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct NotDecompressed {
    pub(super) corrupt: u64,
    pub(super) too_large: u64,
}

impl NotDecompressed {
    const fn add(&mut self, failure: DecompressFailure) {
        match failure {
            DecompressFailure::Corrupt => self.corrupt += 1,
            DecompressFailure::TooLarge => self.too_large += 1,
        }
    }
}

/// The data of the events of a request, decompressed where the file says so.
#[derive(Debug)]
pub(super) struct Payloads<'b> {
    events: &'b [BindingEvent],
    /// Empty if nothing is to be decompressed.
    decompressed: Vec<Bytes>,
    pub(super) untouched: NotDecompressed,
    _memory: Option<SemaphorePermit<'b>>,
}

impl<'b> Payloads<'b> {
    /// The events as they are; a transform may have failed to decompress some.
    pub(super) fn unchanged(events: &'b [BindingEvent]) -> Self {
        let mut untouched = NotDecompressed::default();
        events.iter().filter_map(|event| event.not_decompressed).for_each(|failure| untouched.add(failure));
        Self { events, decompressed: Vec::new(), untouched, _memory: None }
    }

    /// The events with their data.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&BindingEvent, &Bytes)> {
        let data = |index: usize, event: &'b BindingEvent| self.decompressed.get(index).unwrap_or(&event.data);
        self.events.iter().enumerate().map(move |(index, event)| (event, data(index, event)))
    }
}

impl Decompressor {
    /// Waits until there is memory for the result, which is reserved while it lives.
    /// `is_encoded`: the body of the request is a copy of the data.
    pub(super) async fn payloads<'b>(
        &'b self,
        events: &'b [BindingEvent],
        which: Decompress,
        is_encoded: bool,
    ) -> Payloads<'b> {
        let is_tried = |event: &BindingEvent| gzip::is_wanted(which, &event.data);
        let tried = events.iter().filter(|event| is_tried(event)).count();
        if tried == 0 {
            return Payloads::unchanged(events);
        }
        let limit = tried.saturating_mul(MAX_RECORD).min(MAX_REQUEST);
        // The semaphore is never closed, so there is always a permit.
        let factor = if is_encoded { ENCODED } else { 1 };
        let mut memory = self.0.acquire_many(units(limit * factor)).await.ok();
        let mut payloads = Payloads::unchanged(events);
        let mut left = limit;
        for event in events {
            let data = if is_tried(event) {
                gzip::decompressed(&event.data, left.min(MAX_RECORD)).await
            } else {
                Ok(event.data.clone())
            };
            payloads.decompressed.push(match data {
                Ok(data) => {
                    left = left.saturating_sub(if is_tried(event) { data.len() } else { 0 });
                    data
                }
                Err(failure) => {
                    payloads.untouched.add(failure);
                    event.data.clone()
                }
            });
        }
        if let Some(memory) = &mut memory {
            drop(memory.split(left * factor / UNIT));
        }
        Payloads { _memory: memory, ..payloads }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "tests/decompress.rs"]
mod tests;
