//! Owner of the lease view. Pure: `apply` takes an event and the time, keeps all state, returns effects.
//!
//! Leases are scanned and shards are listed side by side: a listing that fails or takes long delays no take, except of a
//! lease at LATEST without a moment to begin at, which the first listing gives. No lease is taken before the stream was
//! identified once and every row was found to belong to it.

use super::assignment::Watch;
use super::cycle::{Action, ActionKind, Listed, Outcome, View};
use super::error::ConsumerError;
use super::family::Family;
use super::identity;
use super::pause::Pause;
use super::settings::ConsumerSettings;
use super::shard_events::Ending;
use crate::domain::{Lease, LeaseGrant, RetrievalError, ShardId, StreamIdentity};
use crate::telemetry::InputMetrics;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The stream is identified again after this time even if nothing raises a doubt.
const IDENTIFY_EACH: Duration = Duration::from_secs(600);
/// The longest pause after failed changes of leases. Takes must not wait much longer than a lease lasts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Something that came to an end, or came to pass.
#[derive(Debug)]
pub(super) enum Event {
    /// The moment of `wake_at` came.
    Woke,
    /// A scan ended.
    Viewed(Result<View, ConsumerError>),
    /// A listing ended.
    Listed(Listed),
    /// A round of actions ended.
    Acted(Vec<(ActionKind, Outcome)>),
    /// A consumer ended.
    ConsumerEnded(ShardId, Ending),
    /// The worker is asked to finish.
    StopAsked,
}

/// What the driver has to do.
#[derive(Debug)]
pub(super) enum Effect {
    Scan,
    List {
        wants_identity: bool,
    },
    Act(Vec<Action>),
    Start(LeaseGrant, Instant),
    /// Ask the consumers to finish. Scans and listings that are under way go on, and are not looked at.
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
    lane: Lane,
    scans: Pause,
    actions: BTreeMap<ActionKind, Pause>,
    family: Family,
    /// The stream, and when it was identified.
    identity: Option<(StreamIdentity, Instant)>,
    is_stopping: bool,
    failure: Option<ConsumerError>,
}

impl Coordinator {
    /// Scans and lists at once.
    pub(super) fn new(settings: Arc<ConsumerSettings>, metrics: InputMetrics) -> Self {
        let watch = Watch::new(settings.worker.clone(), settings.lease_duration);
        let kinds = [ActionKind::Create, ActionKind::Remove, ActionKind::Take, ActionKind::Ask];
        let cap = |kind| match kind {
            ActionKind::Take | ActionKind::Ask => settings.lease_duration.min(LONGEST_PAUSE),
            ActionKind::Create | ActionKind::Remove => LONGEST_PAUSE,
        };
        Self {
            watch,
            metrics,
            running: BTreeSet::new(),
            random: fastrand::Rng::with_seed(settings.seed),
            lane: Lane::Idle,
            scans: Pause::new(settings.lease_duration / 2, settings.seed),
            actions: kinds.map(|kind| (kind, Pause::new(cap(kind), settings.seed))).into(),
            family: Family::new(Arc::clone(&settings)),
            identity: None,
            is_stopping: false,
            failure: None,
            settings,
        }
    }

    /// When to send `Woke` if nothing else happens.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.is_stopping {
            return None;
        }
        let scan = (self.lane == Lane::Idle).then(|| self.scans.until().unwrap_or(now));
        scan.into_iter().chain(self.family.next_listing(now)).min()
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
                    Ok(view) => self.viewed(&view, now, &mut effects),
                    Err(error) => self.scan_failed(error, now, &mut effects),
                }
            }
            Event::Listed(_) if self.is_stopping => {}
            Event::Listed(listed) => self.listed(listed, now, &mut effects),
            Event::Acted(outcomes) => {
                self.lane = Lane::Idle;
                self.acted(outcomes, now, &mut effects);
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
        if self.lane == Lane::Idle && self.scans.is_over(now) {
            effects.push(Effect::Scan);
            self.lane = Lane::Scanning;
        }
        if self.family.begin_listing(now) {
            let is_due = self.identity.as_ref().is_none_or(|(_, at)| now >= *at + IDENTIFY_EACH);
            effects.push(Effect::List { wants_identity: is_due || self.family.is_doubtful() });
        }
    }

    fn viewed(&mut self, view: &View, now: Instant, effects: &mut Vec<Effect>) {
        // Half a lease duration and up to a fifth more or less, so that workers do not scan in step.
        self.scans.worked(now, (self.settings.lease_duration / 2).mul_f64(0.8 + 0.4 * self.random.f64()));
        if now.saturating_duration_since(view.begun) > self.settings.lease_duration {
            // Too old to act on: the family may have changed since the leases were read.
            tracing::warn!("scan of leases took longer than a lease lasts, was not used");
            return;
        }
        let leases = &view.leases;
        // Seen when the scan began at the latest; a later moment only makes us wait longer.
        self.watch.note(leases, now);
        if let Some(expiry) = self.watch.next_expiry(&self.running, now) {
            self.scans.no_later_than(expiry);
        }
        let Some((stream, _)) = self.identity.clone() else { return };
        let history = Arc::clone(&self.settings.history);
        if let Err(error) = identity::check(leases, &stream, history.identity().as_ref(), &self.settings.lease_table) {
            return self.refuse(error, effects);
        }
        history.accepted(&stream);
        let mut actions = self.family.actions(leases, &stream, now);
        history.remember(leases);
        let plan = self.watch.plan(leases, &self.running, now, &mut self.random);
        let complete = |lease: Lease| lease.completed(&stream, history.started());
        let take = plan.take.into_iter().map(complete).filter(|lease| !lease.lacks_start());
        actions.extend(take.map(Action::Take));
        actions.extend(plan.ask.map(Action::Ask));
        actions.retain(|action| self.actions[&action.kind()].is_over(now));
        if !actions.is_empty() {
            self.lane = Lane::Acting;
            effects.push(Effect::Act(actions));
        }
    }

    fn listed(&mut self, listed: Listed, now: Instant, effects: &mut Vec<Effect>) {
        let is_identified = matches!(listed.identity, Some(Ok(_)));
        let needs_identity = self.identity.is_none() || self.family.is_doubtful();
        let failed = match listed.identity {
            Some(Ok(identity)) => {
                self.identity = Some((identity, now));
                None
            }
            // Once the stream is known, a failed call alone raises no doubt. One that shows that it is gone does.
            Some(Err(error)) if needs_identity || is_missing(&error) => Some(error),
            Some(Err(error)) => {
                tracing::debug!(%error, "stream was not identified again");
                None
            }
            None => None,
        };
        let failed = match listed.listing {
            Ok(listing) if failed.is_none() => {
                self.family.listed(listing, is_identified, now);
                None
            }
            Ok(_) => failed,
            Err(error) => Some(error),
        };
        // A view that waited for the listing or for the identity is taken again.
        if self.identity.is_some() && (failed.is_none() || self.running.is_empty()) {
            self.scans.no_later_than(now);
        }
        if let Some(error) = failed {
            self.listing_failed(error, now, effects);
        }
    }

    fn listing_failed(&mut self, error: RetrievalError, now: Instant, effects: &mut Vec<Effect>) {
        if is_missing(&error) {
            self.settings.history.stream_missing();
        }
        // A lasting fault while nothing is read is one of set-up: reported, and retried by setting up again. A stream that is
        // gone leaves nothing to read.
        if is_missing(&error) || (self.running.is_empty() && !error.kind().may_retry()) {
            self.failure = Some(error.into());
            return self.stop(effects);
        }
        let wait = self.family.listing_failed(now);
        tracing::warn!(?wait, %error, source = error.source(), "stream could not be listed");
    }

    fn scan_failed(&mut self, error: ConsumerError, now: Instant, effects: &mut Vec<Effect>) {
        if self.running.is_empty() && !error.kind().may_retry() {
            self.failure = Some(error);
            return self.stop(effects);
        }
        let wait = self.scans.failed(now);
        tracing::warn!(?wait, %error, source = error.source(), "leases could not be scanned");
    }

    /// Each kind of action has its own pauses, and one line in the log for all failures of a round.
    fn acted(&mut self, outcomes: Vec<(ActionKind, Outcome)>, now: Instant, effects: &mut Vec<Effect>) {
        let mut failed = BTreeMap::new();
        let mut worked = BTreeSet::new();
        for (kind, outcome) in outcomes {
            match outcome {
                Outcome::Taken(grant, begun) => {
                    self.running.insert(grant.shard().clone());
                    effects.push(Effect::Start(*grant, begun));
                }
                Outcome::Created => self.scans.no_later_than(now),
                Outcome::Settled => {}
                Outcome::Failed(error) => {
                    failed.entry(kind).or_insert((error, 0)).1 += 1;
                    continue;
                }
            }
            worked.insert(kind);
        }
        for kind in worked.into_iter().filter(|kind| !failed.contains_key(kind)) {
            self.actions.entry(kind).and_modify(|pause| pause.worked(now, Duration::ZERO));
        }
        for (kind, (error, count)) in failed {
            let Some(pause) = self.actions.get_mut(&kind) else { continue };
            let wait = pause.failed(now);
            tracing::warn!(action = ?kind, ?wait, count, %error, source = error.source(), "leases could not be changed");
            self.scans.no_later_than(now + wait);
            if matches!(kind, ActionKind::Create | ActionKind::Remove) {
                self.family.want_listing_at(now + wait);
            }
        }
    }

    fn ended(&mut self, shard: &ShardId, ending: Ending, now: Instant, effects: &mut Vec<Effect>) {
        self.running.remove(shard);
        tracing::info!(%shard, ?ending, "shard consumer ended");
        match ending {
            Ending::ShardEnded => {
                self.settings.history.ended(shard);
                self.family.want_listing();
            }
            Ending::Unreadable => {
                self.failure.get_or_insert_with(|| ConsumerError::Unreadable { shard: shard.clone() });
                self.stop(effects);
            }
            Ending::Replaced { leased, found } => {
                self.refuse(ConsumerError::replaced(leased, found, &self.settings.lease_table), effects);
            }
            Ending::Cut => {
                self.failure.get_or_insert(ConsumerError::Cut);
            }
            // The release moved the counter. Seen at once, it keeps the time short in which a new owner that died looks
            // alive.
            Ending::HandedOff => self.scans.no_later_than(now),
            Ending::Stopped | Ending::LeaseLost | Ending::Failed | Ending::Forced => {}
        }
    }

    /// The leases are not of the stream: nothing is read until an operator has acted.
    fn refuse(&mut self, error: ConsumerError, effects: &mut Vec<Effect>) {
        if matches!(error, ConsumerError::StreamReplaced { .. }) {
            self.settings.history.stream_replaced();
        }
        self.settings.history.refuse(error.to_string());
        self.failure = Some(error);
        self.stop(effects);
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

const fn is_missing(error: &RetrievalError) -> bool {
    matches!(error, RetrievalError::NotFound { .. })
}
