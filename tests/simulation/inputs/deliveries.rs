//! Checks every call of the app: who calls, what, in which order, and what is in flight at the same time.

use super::checker::{Checker, State};
use super::clock::WorkerClock;
use super::ledger::Fate;
use super::story::What;
use bindd::consumer::{OnPoison, Order, Partial};
use bindd::domain::{
    Accepted, BindingEvent, DeadLetter, DeliveryError, EventBatch, GiveUpReason, RecordPosition, ShardId, WorkerId,
};
use bindd::domain::{Lease, LeaseCounter};
use tokio::time::Instant;

/// Records that one read may return; the window may be exceeded by as many.
const MAX_READ: usize = 16;

/// A call in flight, as its worker sees it.
#[derive(Debug)]
pub(crate) struct Call {
    worker: WorkerId,
    shard: ShardId,
    epoch: LeaseCounter,
    events: Vec<(RecordPosition, String)>,
}

/// Ends a call of the app; one that is dropped before was given up by the worker.
#[derive(Debug)]
pub(crate) struct CallGuard {
    checker: Checker,
    id: u64,
}

impl Checker {
    pub(crate) fn call_started(&self, worker: &WorkerId, batch: &EventBatch) -> CallGuard {
        let shard = batch.events.first().map(|event| event.origin.shard.clone()).unwrap();
        let row = self.leases.lease(&shard);
        let events: Vec<_> = batch
            .events
            .iter()
            .map(|event| (event.origin.position.clone(), event.origin.partition_key.clone()))
            .collect();
        let id = self.with(|state| {
            for event in &batch.events {
                let (position, attempt) = (event.origin.position.clone(), event.attempt);
                let what = What::Delivery { position, events: events.len(), attempt, epoch: batch.epoch };
                state.story.tell(Some(worker), Some(&shard), Some(&event.origin.partition_key), what);
            }
            let call = Call { worker: worker.clone(), shard: shard.clone(), epoch: batch.epoch, events };
            let checks = [
                state.check_owner(worker, &shard, row.as_ref()),
                state.check_parents(row.as_ref()),
                state.check_stream(row.as_ref(), batch),
                state.check_batch(&shard, batch),
                state.check_epoch(&call),
                state.check_positions(&call),
                state.check_overlap(&call),
            ];
            if let Some(text) = checks.into_iter().flatten().next() {
                let keys = call.events.iter().map(|(_, key)| key.clone()).collect();
                state.report(format!("{worker} {shard} {}: {text}", call.events[0].0), Some(&shard), keys);
            }
            state.call_count += 1;
            state.calls.insert(state.call_count, call);
            state.call_count
        });
        CallGuard { checker: self.clone(), id }
    }

    /// The app accepts an event, whether its caller learns of it or not.
    pub(crate) fn accepted(&self, shard: &ShardId, position: &RecordPosition) {
        self.with(|state| {
            let Some(key) = state.ledger.entry(shard, position).map(|entry| entry.key.clone()) else {
                return state.report(format!("{shard} {position} was never put"), Some(shard), Vec::new());
            };
            state.story.tell(None, Some(shard), Some(&key), What::Accepted(position.clone()));
            let order = state.plan.delivery.order;
            let is_new = state.ledger.entry(shard, position).is_some_and(|entry| entry.fate == Fate::Pending);
            if state.plan.is_clean && !state.hard_taken.contains(shard) && state.ledger.is_accepted(shard, position) {
                let text = format!("{shard} {position} was delivered twice without a fault");
                state.report(text, Some(shard), vec![key.clone()]);
            }
            let mut earlier = state.ledger.settle(shard, position, Fate::Accepted);
            if order == Order::Shard && is_new {
                let first = state.ledger.first_pending(shard).filter(|first| *first < position);
                earlier = first.map(|first| (shard.clone(), first.clone())).or(earlier);
            }
            let Some((other, first)) = earlier.filter(|_| order != Order::None) else { return };
            if state.plan.drops() && state.may_give_up(&other, &first) {
                state.ledger.settle(&other, &first, Fate::Dropped);
            } else {
                let text = format!("{key}: {shard} {position} was accepted before {other} {first}");
                state.report(text, Some(shard), vec![key]);
            }
        });
    }

    /// A dead letter is about to be stored.
    pub(crate) fn letter_started(&self, (worker, clock): (&WorkerId, &WorkerClock), letter: &DeadLetter) {
        let origin = &letter.event.origin;
        let (shard, position) = (&origin.shard, &origin.position);
        let row = self.leases.lease(shard);
        self.with(|state| {
            let given_up = match letter.reason {
                GiveUpReason::Attempts | GiveUpReason::PermanentStatus => state.may_give_up(shard, position),
                GiveUpReason::Transform => true,
                GiveUpReason::Age => {
                    let entry = state.ledger.entry(shard, position);
                    entry.is_some_and(|entry| state.is_too_old(entry, clock.max_ahead()))
                }
            };
            let early = (!given_up).then(|| format!("given up too early for {:?}", letter.reason));
            if let Some(text) = early.or(state.check_owner(worker, shard, row.as_ref())) {
                let keys = vec![origin.partition_key.clone()];
                state.report(format!("{worker} dead letter {shard} {position}: {text}"), Some(shard), keys);
            }
        });
    }

    pub(crate) fn letter_stored(&self, letter: &DeadLetter) {
        let origin = &letter.event.origin;
        self.with(|state| {
            let what = What::DeadLetter(origin.position.clone());
            state.story.tell(None, Some(&origin.shard), Some(&origin.partition_key), what);
            state.ledger.settle(&origin.shard, &origin.position, Fate::DeadLettered);
        });
    }

    /// The worker knows that a dead letter is stored.
    pub(crate) fn letter_confirmed(&self, worker: &WorkerId, letter: &DeadLetter) {
        let origin = &letter.event.origin;
        self.with(|state| {
            if let Some(session) = state.session(worker, &origin.shard) {
                session.done(&origin.position);
            }
        });
    }
}

impl State {
    /// Only the holder of the lease may begin, and only while no other worker can have seen the lease expire.
    fn check_owner(&self, worker: &WorkerId, shard: &ShardId, row: Option<&Lease>) -> Option<String> {
        let Some(row) = row else { return Some("there is no lease".to_owned()) };
        if row.handoff_from.as_ref().or(row.owner.as_ref()) != Some(worker) {
            if self.is_robbed(worker, shard) {
                return None;
            }
            return Some(format!("began without the lease, which is {row:?}"));
        }
        let moved = self.moved.get(shard)?;
        let age = moved.elapsed();
        (age >= self.plan.shortest_lease())
            .then(|| format!("began {age:?} after the counter changed, when others may take the lease"))
    }

    /// Records of a child come after all of its parents.
    fn check_parents(&mut self, row: Option<&Lease>) -> Option<String> {
        row.filter(|row| self.ledger.is_current(row))?.parents.iter().find_map(|parent| {
            self.missing(parent, None)
                .map(|missing| format!("began before {missing} of the parent {parent} was accepted"))
        })
    }

    /// Nothing of a stream is delivered under the lease of an earlier stream of the same name.
    fn check_stream(&self, row: Option<&Lease>, batch: &EventBatch) -> Option<String> {
        let row = row.filter(|row| !self.ledger.is_current(row))?;
        let is_new = |event: &BindingEvent| {
            let entry = self.ledger.entry(&row.shard, &event.origin.position);
            entry.is_some_and(|entry| entry.stream.is_some() && entry.stream != row.stream_created)
        };
        batch.events.iter().any(is_new).then(|| format!("a record of another stream than that of {row:?}"))
    }

    fn check_batch(&self, shard: &ShardId, batch: &EventBatch) -> Option<String> {
        let events = &batch.events;
        let settings = &self.plan.delivery;
        if events.len() > settings.batch_size {
            return Some(format!("{} events in a batch of at most {}", events.len(), settings.batch_size));
        }
        if events.len() > 1 && events.iter().map(|event| event.data.len()).sum::<usize>() > settings.batch_bytes {
            return Some("a batch has too many bytes".to_owned());
        }
        let is_sorted = events.is_sorted_by(|one, other| one.origin.position < other.origin.position);
        if !is_sorted || events.iter().any(|event| event.origin.shard != *shard || event.attempt == 0) {
            return Some("the events of a batch are not those of one shard in their order".to_owned());
        }
        for event in events {
            let entry = self.ledger.entry(shard, &event.origin.position);
            if entry.is_some_and(|entry| entry.is_filtered) {
                return Some(format!("{} was filtered", event.origin.position));
            }
            if entry.is_none_or(|entry| entry.size != event.data.len() || entry.key != event.origin.partition_key) {
                return Some(format!("{} is not what was put", event.origin.position));
            }
        }
        None
    }

    /// No start under an epoch that is over.
    fn check_epoch(&mut self, call: &Call) -> Option<String> {
        let Some(session) = self.sessions.get(&(call.shard.clone(), call.epoch)) else {
            return Some(format!("epoch {} was never taken", call.epoch.value()));
        };
        if session.worker != call.worker {
            return Some(format!("epoch {} was taken by {}", call.epoch.value(), session.worker));
        }
        let is_robbed = self.is_robbed(&call.worker, &call.shard);
        let last = self.epochs.entry(call.shard.clone()).or_insert(call.epoch);
        if call.epoch < *last {
            if is_robbed {
                return None;
            }
            return Some(format!("epoch {} began after epoch {}", call.epoch.value(), last.value()));
        }
        *last = call.epoch;
        None
    }

    /// Nothing that is done comes again from the same owner, nor what was stored before it; the window holds.
    fn check_positions(&self, call: &Call) -> Option<String> {
        let session = self.sessions.get(&(call.shard.clone(), call.epoch))?;
        let is_done = |position: &RecordPosition| {
            session.done.contains(position) || session.start.as_ref().is_some_and(|start| position <= start)
        };
        if let Some((position, _)) = call.events.iter().find(|(position, _)| is_done(position)) {
            return Some(format!("{position} was done already"));
        }
        let (newest, _) = call.events.last()?;
        let between = self.ledger.between(&call.shard, session.start.as_ref(), newest);
        // What is filtered takes no place.
        let between: Vec<_> = between.iter().filter(|entry| !entry.is_filtered).collect();
        let window = self.plan.delivery.max_in_flight_records + MAX_READ;
        if between.len() > window {
            let is_dropped = |position| self.plan.drops() && self.may_give_up(&call.shard, position);
            let oldest = between.iter().position(|entry| {
                entry.is_required && !session.done.contains(&entry.position) && !is_dropped(&entry.position)
            });
            let length = oldest.map_or(0, |oldest| between.len() - oldest);
            if length > window && between[between.len() - length].fate == Fate::Pending {
                return Some(format!("{length} records are between the first that is not accepted and this one"));
            }
        }
        None
    }

    fn check_overlap(&self, call: &Call) -> Option<String> {
        let settings = &self.plan.delivery;
        let in_shard = self.calls.values().filter(|other| other.worker == call.worker && other.shard == call.shard);
        let is_parallel = |other: &&Call| match settings.order {
            Order::None => false,
            Order::Shard => other.shard == call.shard,
            Order::Key => other.events.iter().any(|(_, key)| call.events.iter().any(|(_, own)| own == key)),
        };
        // A frozen worker does not notice that it has lost its lease, nor one that a KCL took it from; its call began
        // before.
        let is_left_behind = |other: &&Call| {
            other.worker != call.worker
                && (self.is_robbed(&other.worker, &other.shard)
                    || self
                        .frozen
                        .get(&other.worker)
                        .is_some_and(|until| until.is_none_or(|until| until == Instant::now())))
        };
        if in_shard.count() >= settings.concurrency_per_shard {
            return Some(format!("more than {} calls of the shard are in flight", settings.concurrency_per_shard));
        }
        if self.calls.values().filter(|other| other.worker == call.worker).count() >= settings.concurrency {
            return Some(format!("more than {} calls of the worker are in flight", settings.concurrency));
        }
        let other = self.calls.values().filter(is_parallel).find(|other| !is_left_behind(other))?;
        let Call { worker, shard, epoch, events } = other;
        Some(format!("{worker} has {shard} {} of epoch {} in flight", events[0].0, epoch.value()))
    }

    fn counts(error: &DeliveryError) -> bool {
        !error.is_app_down() && error.retry_after().is_none()
    }
}

impl CallGuard {
    /// The worker gets this reply.
    pub(crate) fn finish(self, reply: &Result<Accepted, DeliveryError>) {
        self.checker.with(|state| {
            let Some(call) = state.calls.remove(&self.id) else { return };
            let partial = state.plan.delivery.partial;
            let may_drop = state.plan.delivery.on_poison == OnPoison::Drop && !state.plan.has_dead_letters;
            let is_refused = |index: usize| match reply {
                Ok(Accepted::All) => false,
                Ok(Accepted::Except(refused)) if partial == Partial::Lowest => {
                    refused.iter().min().is_none_or(|lowest| index >= *lowest)
                }
                Ok(Accepted::Except(refused)) => refused.contains(&index),
                Err(_) => true,
            };
            let counts = reply.as_ref().err().is_none_or(State::counts);
            for (index, (position, _)) in call.events.iter().enumerate() {
                if !is_refused(index) {
                    if let Some(session) = state.sessions.get_mut(&(call.shard.clone(), call.epoch)) {
                        session.done(position);
                    }
                } else if counts {
                    state.ledger.failed(&call.shard, position);
                    let session = state.sessions.get_mut(&(call.shard.clone(), call.epoch));
                    // The last failure of a record may drop it without a further event.
                    if let Some(session) = session.filter(|_| may_drop) {
                        session.release(position);
                    }
                }
            }
            for (index, (position, key)) in call.events.iter().enumerate() {
                let what = What::Reply(position.clone(), if is_refused(index) { word(reply) } else { "accepted" });
                state.story.tell(Some(&call.worker), Some(&call.shard), Some(key), what);
            }
        });
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.checker.with(|state| {
            if let Some(call) = state.calls.remove(&self.id) {
                for (position, key) in &call.events {
                    let what = What::HungUp(position.clone());
                    state.story.tell(Some(&call.worker), Some(&call.shard), Some(key), what);
                }
            }
        });
    }
}

fn word(reply: &Result<Accepted, DeliveryError>) -> &'static str {
    match reply {
        Ok(Accepted::All) => "accepted",
        Ok(Accepted::Except(_)) => "to be sent again",
        Err(DeliveryError::Refused { retry_after: Some(_), .. }) => "refused with Retry-After",
        Err(DeliveryError::Refused { .. } | DeliveryError::RefusedCall { .. }) => "refused",
        Err(DeliveryError::TimedOut { .. }) => "none in time",
        Err(DeliveryError::Unreachable { .. }) => "unreachable",
        Err(DeliveryError::Unanswered { .. }) => "connection closed",
        Err(DeliveryError::NotHttp { .. }) => "not HTTP",
        Err(DeliveryError::InvalidHead { .. }) => "invalid head",
        Err(DeliveryError::ReportedFailed) => "reported as failed",
        Err(DeliveryError::Held { .. }) => "held",
        Err(DeliveryError::NotTransformed(_)) => "not transformed",
        Err(DeliveryError::InvalidReply { .. }) => "invalid",
    }
}
