//! The one owner of what changes while the backend runs.

use super::faults::{Fate, Faults};
use super::journal::Journal;
use super::refusal::Refusal;
use super::server::{BackendSettings, Keeping};
use super::shards::{self, Room};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Settings and state of a running backend.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) settings: BackendSettings,
    state: Mutex<State>,
    /// Whether replies wait.
    held: watch::Sender<bool>,
}

/// Changes under the lock only; calls hold it for as long as they write.
#[derive(Debug)]
pub(super) struct State {
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    dice: fastrand::Rng,
    rooms: Vec<Room>,
    last_sequence: u64,
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Stored { shard: usize, sequence: u64 },
    Throttled { shard: usize },
    Failed,
}

/// What the caller of an operation gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// 200 with this body.
    Body(String),
    /// An error of the service.
    Refused(Refusal),
    /// Nothing: the connection closes.
    Never,
}

impl Control {
    pub(super) fn new(settings: BackendSettings) -> Self {
        let state = State {
            faults: settings.faults.clone(),
            journal: Journal::default(),
            dice: fastrand::Rng::with_seed(settings.seed),
            rooms: vec![Room::default(); settings.shards.max(1)],
            last_sequence: 0,
        };
        Self { settings, state: Mutex::new(state), held: watch::Sender::new(false) }
    }

    /// Lets every reply wait, or go.
    pub(super) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Resolves when replies may go.
    pub(super) async fn released(&self) {
        if *self.held.borrow() {
            // The sender is ours, so this waits for the value alone.
            drop(self.held.subscribe().wait_for(|held| !held).await);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has failed the test already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keeps(&self) -> bool {
        match self.settings.keeping {
            Keeping::Counts => false,
            Keeping::Everything => true,
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
    /// The refusal of an operation that is denied or unknown.
    pub(super) fn refusal(&mut self, target: &str) -> Option<Refusal> {
        let (service, operation) = target.rsplit_once('.').unwrap_or_default();
        let is_one_of = |operations: &[&str]| operations.contains(&operation);
        let refusal = if is_one_of(&self.faults.denied) {
            let service = service.split('_').next().unwrap_or_default().to_ascii_lowercase();
            Refusal::denied(&format!("{service}:{operation}"))
        } else if is_one_of(&self.faults.unknown) {
            Refusal::unknown(target)
        } else {
            return None;
        };
        self.journal.counts.refused += 1;
        Some(refusal)
    }

    /// Draws the fate of a call; counts it if it ends badly.
    pub(super) fn fate(&mut self) -> Fate {
        let fate = self.faults.fate(&mut self.dice);
        match fate {
            Fate::Served => {}
            Fate::Failed | Fate::Unavailable | Fate::Throttled => self.journal.counts.refused += 1,
            Fate::ReplyLost | Fate::CallLost => self.journal.counts.lost += 1,
        }
        fate
    }

    /// Draws whether something happens.
    pub(super) fn draws(&mut self, share: f64) -> bool {
        share > 0.0 && self.dice.f64() < share
    }

    /// Carries out one record.
    pub(super) fn write(&mut self, hash_key: u128, size: usize, now: Instant) -> Written {
        let shard = shards::of(hash_key, self.rooms.len());
        self.journal.counts.offered += 1;
        let is_over = match (self.faults.shard_rate, self.rooms.get_mut(shard)) {
            (Some(rate), Some(room)) => !room.take(rate, size, now),
            (None, _) | (_, None) => false,
        };
        if is_over || self.draws(self.faults.entry_throttled) {
            self.journal.counts.throttled += 1;
            return Written::Throttled { shard };
        }
        if self.draws(self.faults.entry_failed) {
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
