//! The state of a running backend.

use super::error_response::ErrorResponse;
use super::faults::{CallOutcome, Faults};
use super::journal::Journal;
use super::server::{BackendSettings, Recording};
use super::shards::{self, TokenBucket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Control {
    pub(super) settings: BackendSettings,
    state: Mutex<State>,
    /// Whether replies are held back.
    held: watch::Sender<bool>,
}

/// Always behind the lock; a call holds it while it writes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    rng: fastrand::Rng,
    buckets: Vec<TokenBucket>,
    last_sequence: u64,
}

/// The result of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Stored { shard: usize, sequence: u64 },
    Throttled { shard: usize },
    Failed,
}

/// How a call ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Status 200 with this body.
    Body(String),
    Error(ErrorResponse),
    /// The connection closes without a response.
    None,
}

impl Control {
    pub(super) fn new(settings: BackendSettings) -> Self {
        let state = State {
            faults: settings.faults.clone(),
            journal: Journal::default(),
            rng: fastrand::Rng::with_seed(settings.seed),
            buckets: vec![TokenBucket::default(); settings.shards.max(1)],
            last_sequence: 0,
        };
        Self { settings, state: Mutex::new(state), held: watch::Sender::new(false) }
    }

    /// Holds back all replies, or releases them.
    pub(super) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits while replies are held back.
    pub(super) async fn released(&self) {
        if *self.held.borrow() {
            // The channel cannot close, since `self` owns the sender.
            drop(self.held.subscribe().wait_for(|held| !held).await);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held has already failed the test.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn records_everything(&self) -> bool {
        match self.settings.recording {
            Recording::CountsOnly => false,
            Recording::Everything => true,
        }
    }

    pub(super) fn latency(&self) -> Duration {
        self.lock().faults.latency
    }

    pub(super) fn shards(&self) -> usize {
        self.settings.shards.max(1)
    }
}

impl State {
    /// The error of an operation that [`Faults`] deny or do not know.
    pub(super) fn injected_error(&mut self, target: &str) -> Option<ErrorResponse> {
        let (service, operation) = target.rsplit_once('.').unwrap_or_default();
        let is_one_of = |operations: &[&str]| operations.contains(&operation);
        let error = if is_one_of(&self.faults.denied) {
            let service = service.split('_').next().unwrap_or_default().to_ascii_lowercase();
            ErrorResponse::denied(&format!("{service}:{operation}"))
        } else if is_one_of(&self.faults.unknown) {
            ErrorResponse::unknown(target)
        } else {
            return None;
        };
        self.journal.counts.refused += 1;
        Some(error)
    }

    /// Draws the outcome of a call, and counts it if it is not [`CallOutcome::Served`].
    pub(super) fn draw_outcome(&mut self) -> CallOutcome {
        let outcome = self.faults.draw_outcome(&mut self.rng);
        match outcome {
            CallOutcome::Served => {}
            CallOutcome::Failed | CallOutcome::Unavailable | CallOutcome::Throttled => self.journal.counts.refused += 1,
            CallOutcome::ReplyLost | CallOutcome::CallLost => self.journal.counts.lost += 1,
        }
        outcome
    }

    /// Draws whether an event of this probability happens.
    pub(super) fn draw(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.f64() < probability
    }

    /// Stores one record, or injects its failure.
    pub(super) fn write(&mut self, hash_key: u128, size: usize, now: Instant) -> Written {
        let shard = shards::index_of(hash_key, self.buckets.len());
        self.journal.counts.offered += 1;
        let is_over = match (self.faults.shard_rate, self.buckets.get_mut(shard)) {
            (Some(rate), Some(bucket)) => !bucket.try_take(rate, size, now),
            (None, _) | (_, None) => false,
        };
        if is_over || self.draw(self.faults.entry_throttled) {
            self.journal.counts.throttled += 1;
            return Written::Throttled { shard };
        }
        if self.draw(self.faults.entry_failed) {
            self.journal.counts.failed += 1;
            return Written::Failed;
        }
        self.last_sequence += 1;
        self.journal.counts.stored += 1;
        Written::Stored { shard, sequence: self.last_sequence }
    }
}

/// The sequence number of the n-th record, with the 56 digits of a real one. No leading zeros are possible.
pub(super) fn sequence_text(number: u64) -> String {
    format!("496{number:053}")
}
