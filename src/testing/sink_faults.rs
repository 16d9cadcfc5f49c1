//! The faults of a [`ModelSink`](super::ModelSink), drawn from a seed.

use crate::domain::{BindingError, FailureKind, Outcome};
use std::time::Duration;

/// How often calls and entries fail, in thousandths, and how long a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkFaults {
    /// Calls that fail as a whole.
    pub calls: u32,
    /// Entries that fail alone.
    pub entries: u32,
    /// Of a call that does not hang.
    pub max_latency: Duration,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallFate {
    Works,
    Throttled,
    Refused,
    /// The connection was refused, so it is certain that nothing was stored.
    Unreachable,
    /// The reply is lost, before or after the records were stored.
    Lost(Effect),
    /// No reply for longer than any deadline.
    Hangs(Effect),
}

/// What happens to one entry of a call that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryFate {
    Works,
    Throttled,
    Refused,
    /// An internal failure: the caller cannot know whether the entry was stored.
    Internal(Effect),
}

/// What really happened when the reply was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Stored,
}

impl SinkFaults {
    pub(super) fn call(self, random: &mut fastrand::Rng) -> CallFate {
        if random.u32(0..1_000) >= self.calls {
            return CallFate::Works;
        }
        match random.u32(0..20) {
            0..=4 => CallFate::Throttled,
            5..=8 => CallFate::Unreachable,
            9 => CallFate::Refused,
            10..=12 => CallFate::Lost(Effect::None),
            13..=16 => CallFate::Lost(Effect::Stored),
            _ => CallFate::Hangs(effect(random)),
        }
    }

    pub(super) fn entry(self, random: &mut fastrand::Rng) -> EntryFate {
        if random.u32(0..1_000) >= self.entries {
            return EntryFate::Works;
        }
        match random.u32(0..10) {
            0..=5 => EntryFate::Throttled,
            6 => EntryFate::Refused,
            _ => EntryFate::Internal(effect(random)),
        }
    }

    pub(super) fn latency(self, random: &mut fastrand::Rng) -> Duration {
        self.max_latency.mul_f64(random.f64())
    }
}

fn effect(random: &mut fastrand::Rng) -> Effect {
    if random.bool() { Effect::Stored } else { Effect::None }
}

pub(super) fn throttled() -> BindingError {
    BindingError::new(FailureKind::Throttled, "the shard's rate was exceeded")
}

pub(super) fn refused() -> BindingError {
    BindingError::new(FailureKind::Denied, "the key of the stream may not be used")
}

pub(super) fn batch_denied() -> BindingError {
    BindingError::new(FailureKind::Denied, "calls with several records are not allowed").lacking_permission()
}

pub(super) fn unreachable() -> BindingError {
    BindingError::new(FailureKind::Transient, "the connection was refused")
}

pub(super) fn lost() -> BindingError {
    BindingError::new(FailureKind::Transient, "the reply was lost").with_outcome(Outcome::Unknown)
}

pub(super) fn internal() -> BindingError {
    BindingError::new(FailureKind::Transient, "internal service failure").with_outcome(Outcome::Unknown)
}
