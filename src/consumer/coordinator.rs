//! Owner of the lease view. Pure: `apply` takes an event and the time, keeps all state, returns effects.

use super::assignment::Watch;
use super::cycle::{Action, Outcome, View};
use super::error::ConsumerError;
use super::lineage::{self, Changes};
use super::settings::ConsumerSettings;
use super::shard_events::Ending;
use crate::domain::{LeaseGrant, ShardId};
use crate::resilience::{Backoff, Waits};
use crate::telemetry::InputMetrics;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::Instant;

/// Shards are listed at least once in this many lease durations (a minute at the default).
const LIST_EACH: u32 = 6;

/// Something that came to an end, or came to pass.
#[derive(Debug)]
pub(super) enum Event {
    /// The moment of `wake_at` came.
    Woke,
    /// A scan ended.
    Viewed(Result<View, ConsumerError>),
    /// A round of actions ended.
    Acted(Vec<Outcome>),
    /// A consumer ended.
    ConsumerEnded(ShardId, Ending),
    /// The worker is asked to finish.
    StopAsked,
}

/// What the driver has to do.
#[derive(Debug)]
pub(super) enum Effect {
    Scan {
        wants_listing: bool,
    },
    Act(Vec<Action>),
    Start(LeaseGrant, Instant),
    /// Ask the consumers to finish. A scan that is under way goes on, and is not looked at.
    StopConsumers,
    End(Result<(), ConsumerError>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Idle,
    Scanning,
    Acting,
}

/// State of one worker.
#[derive(Debug)]
pub(super) struct Coordinator {
    settings: Arc<ConsumerSettings>,
    metrics: InputMetrics,
    watch: Watch,
    running: BTreeSet<ShardId>,
    random: fastrand::Rng,
    waits: Waits,
    lane: Lane,
    next_scan: Instant,
    listed_at: Option<Instant>,
    wants_listing: bool,
    is_stopping: bool,
    failure: Option<ConsumerError>,
}

impl Coordinator {
    /// Scans at once.
    pub(super) fn new(settings: Arc<ConsumerSettings>, metrics: InputMetrics, now: Instant) -> Self {
        let watch = Watch::new(settings.worker.clone(), settings.lease_duration);
        let cap = u64::try_from(settings.lease_duration.as_millis() / 2).unwrap_or(u64::MAX);
        Self {
            watch,
            metrics,
            running: BTreeSet::new(),
            random: fastrand::Rng::with_seed(settings.seed),
            waits: Backoff::millis(200, cap).waits(settings.seed),
            lane: Lane::Idle,
            next_scan: now,
            listed_at: None,
            wants_listing: true,
            is_stopping: false,
            failure: None,
            settings,
        }
    }

    /// When to send `Woke` if nothing else happens.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        (self.lane == Lane::Idle && !self.is_stopping).then_some(self.next_scan)
    }

    /// Takes an event; the effects are to be performed in order.
    pub(super) fn apply(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Woke => {}
            Event::Viewed(result) => {
                self.lane = Lane::Idle;
                match result {
                    // A scan that stop has overtaken.
                    Ok(_) | Err(_) if self.is_stopping => {}
                    Ok(view) => self.viewed(view, now, &mut effects),
                    Err(error) => self.failed(error, now, &mut effects),
                }
            }
            Event::Acted(outcomes) => {
                self.lane = Lane::Idle;
                outcomes.into_iter().for_each(|outcome| self.acted(outcome, now, &mut effects));
            }
            Event::ConsumerEnded(shard, ending) => self.ended(&shard, ending, now, &mut effects),
            Event::StopAsked => self.stop(&mut effects),
        }
        self.metrics.set_leases_held(self.running.len());
        self.decide(now, &mut effects);
        effects
    }

    fn decide(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_stopping {
            if self.lane == Lane::Idle && self.running.is_empty() {
                effects.push(Effect::End(self.failure.take().map_or(Ok(()), Err)));
            }
            return;
        }
        if self.lane == Lane::Idle && now >= self.next_scan {
            let overdue = self.listed_at.is_none_or(|at| now >= at + self.settings.lease_duration * LIST_EACH);
            effects.push(Effect::Scan { wants_listing: self.wants_listing || overdue });
            self.lane = Lane::Scanning;
        }
    }

    fn viewed(&mut self, view: View, now: Instant, effects: &mut Vec<Effect>) {
        self.waits.reset();
        // Half a lease duration and up to a fifth more or less, so that workers do not scan in step.
        let period = (self.settings.lease_duration / 2).mul_f64(0.8 + 0.4 * self.random.f64());
        self.next_scan = now + period;
        if now.saturating_duration_since(view.begun) > self.settings.lease_duration {
            // Too old to act on: the family may have changed since the leases were read.
            tracing::warn!("scan of leases took longer than a lease lasts, was not used");
            return;
        }
        let mut actions = Vec::new();
        match view.listing {
            Some(Ok(listing)) => {
                self.listed_at = Some(now);
                self.wants_listing = false;
                match lineage::changes(&view.leases, &listing, self.settings.initial_position) {
                    Ok(changes) => actions = self.family_actions(changes, now),
                    Err(error) => {
                        self.failure = Some(error);
                        return self.stop(effects);
                    }
                }
            }
            Some(Err(error)) => {
                self.wants_listing = true;
                self.failed(error.into(), now, effects);
                if self.is_stopping {
                    return;
                }
            }
            None => {}
        }
        // Seen when the scan began at the latest; a later moment only makes us wait longer.
        self.watch.note(&view.leases, now);
        if let Some(expiry) = self.watch.next_expiry(&self.running, now) {
            self.next_scan = self.next_scan.min(expiry);
        }
        let plan = self.watch.plan(&view.leases, &self.running, now, &mut self.random);
        actions.extend(plan.take.into_iter().map(Action::Take));
        actions.extend(plan.ask.map(Action::Ask));
        if !actions.is_empty() {
            self.lane = Lane::Acting;
            effects.push(Effect::Act(actions));
        }
    }

    fn family_actions(&mut self, changes: Changes, now: Instant) -> Vec<Action> {
        if changes.is_incomplete {
            tracing::debug!("listed shards do not cover all keys, stream is being resharded");
            self.next_scan = now + self.waits.next_wait();
        }
        let create = (!changes.create.is_empty()).then_some(Action::Create(changes.create));
        create.into_iter().chain(changes.remove.into_iter().map(Action::Remove)).collect()
    }

    fn failed(&mut self, error: ConsumerError, now: Instant, effects: &mut Vec<Effect>) {
        // A lasting fault while nothing is read is one of set-up: told, and mended by setting up anew.
        if self.running.is_empty() && !error.kind().may_retry() {
            self.failure = Some(error);
            return self.stop(effects);
        }
        let wait = self.waits.next_wait();
        tracing::warn!(?wait, %error, source = std::error::Error::source(&error), "scan of leases and shards failed");
        self.next_scan = now + wait;
    }

    fn acted(&mut self, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
        match outcome {
            Outcome::Taken(grant, begun) => {
                self.running.insert(grant.shard().clone());
                effects.push(Effect::Start(*grant, begun));
            }
            Outcome::Created => self.next_scan = now,
            Outcome::Settled => {}
            Outcome::Failed(error) => {
                let wait = self.waits.next_wait();
                tracing::warn!(?wait, %error, "leases were not changed");
                self.wants_listing = true;
                self.next_scan = self.next_scan.min(now + wait);
            }
        }
    }

    fn ended(&mut self, shard: &ShardId, ending: Ending, now: Instant, effects: &mut Vec<Effect>) {
        self.running.remove(shard);
        tracing::info!(%shard, ?ending, "shard consumer ended");
        match ending {
            Ending::ShardEnded => {
                self.wants_listing = true;
                self.next_scan = now;
            }
            Ending::Unreadable => {
                self.failure.get_or_insert_with(|| ConsumerError::Unreadable { shard: shard.clone() });
                self.stop(effects);
            }
            Ending::Cut => {
                self.failure.get_or_insert(ConsumerError::Cut);
            }
            // The release moved the counter. Seen at once, it keeps the time short in which a new owner that died looks
            // alive.
            Ending::HandedOff => self.next_scan = now,
            Ending::Stopped | Ending::LeaseLost | Ending::Failed | Ending::Forced => {}
        }
    }

    fn stop(&mut self, effects: &mut Vec<Effect>) {
        if self.is_stopping {
            return;
        }
        self.is_stopping = true;
        effects.push(Effect::StopConsumers);
        // A scan may be dropped; a take must come home, so that its lease is released.
        if self.lane == Lane::Scanning {
            self.lane = Lane::Idle;
        }
    }
}
