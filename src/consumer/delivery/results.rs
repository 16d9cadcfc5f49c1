//! What happens at the end of a call: records leave, go back to their lanes, or are given up.

use super::super::mutants::{Mutant, is_broken};
use super::super::settings::{OnPoison, Partial};
use super::attempts::{self, Failure, NextStep, Rules};
use super::driver::{Call, Delivery, Mode};
use super::lanes::{LaneId, LastFailure, Unit};
use super::request::{RequestEnd, Sent};
use crate::domain::{
    Accepted, BindingEvent, DeadLetter, DeliveryError, GiveUpReason, RedeliveryPolicy, TransformError, cause_line,
};
use crate::telemetry::ShapingResult;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Delivery {
    /// Applies the end of a call, and returns the records that are done.
    pub(super) fn ended(&mut self, call: Call) -> Vec<u64> {
        match call {
            Call::Request(end) => self.request_ended(*end),
            Call::DeadLetter { lane, unit, result: Ok(()) } => {
                if self.to.dead_letters.is_some() {
                    self.metrics.dead_lettered();
                    self.log.dead_letter_stored(&self.to.shard, &unit);
                }
                self.bounds.budget.release(unit.size);
                self.lanes.release(lane, None);
                vec![unit.index]
            }
            Call::DeadLetter { lane, mut unit, result: Err(error) } => {
                let pause = self.bounds.settings.retry.bound(unit.history.failures).mul_f64(self.random.f64());
                unit.history.failures = unit.history.failures.saturating_add(1);
                self.log.dead_letter_failed(&self.to.shard, &unit, &error);
                self.report_failure(&format!("dead letter not stored, its key waits: {error}"));
                self.lanes.put_back(lane, *unit);
                self.lanes.release(lane, Some(Instant::now() + pause.max(Duration::from_millis(1))));
                Vec::new()
            }
        }
    }

    fn request_ended(&mut self, end: RequestEnd) -> Vec<u64> {
        let RequestEnd { sent, filtered, dropped, failed, out_of_time, unsent, passed_through } = end;
        let failed_lanes: HashSet<LaneId> = failed.iter().chain(&out_of_time).map(|(lane, ..)| *lane).collect();
        let lanes = filtered.iter().chain(&unsent).map(|(lane, _)| *lane);
        let lanes = lanes.chain(dropped.iter().map(|(lane, ..)| *lane));
        let lanes: Vec<LaneId> = lanes.filter(|lane| !failed_lanes.contains(lane)).collect();
        // What comes later goes back first, so that earlier records of a lane are in front of it.
        unsent.into_iter().rev().for_each(|(lane, unit)| self.lanes.put_back(lane, unit));
        let mut done = sent.map_or_else(Vec::new, |sent| self.answered(sent));
        for (_, unit) in filtered {
            self.to.shaping.count(ShapingResult::Filtered, 1);
            self.bounds.budget.release(unit.size);
            done.push(unit.index);
        }
        if let Some((position, error)) = passed_through {
            self.log.passed_through(&self.to.shard, &position, &error);
        }
        for (_, mut unit, error) in dropped {
            self.not_transformed(&mut unit, &error);
            self.log.dropped(&self.to.shard, &unit);
            self.metrics.dropped();
            self.to.shaping.count(ShapingResult::Dropped, 1);
            self.bounds.budget.release(unit.size);
            done.push(unit.index);
        }
        for (lane, mut unit, error) in failed {
            self.not_transformed(&mut unit, &error);
            unit.history.given_up = Some(GiveUpReason::Transform);
            let has_target = self.to.dead_letters.is_some();
            let result = if has_target { ShapingResult::DeadLetter } else { ShapingResult::Failed };
            self.to.shaping.count(result, 1);
            self.give_up(lane, unit);
        }
        for (lane, unit, error) in out_of_time {
            self.failed_as(vec![(lane, unit)], &DeliveryError::NotTransformed(error.to_string()), Failure::Counted);
        }
        // A lane whose records were answered has its state already.
        lanes.into_iter().for_each(|lane| self.lanes.release(lane, None));
        done
    }

    fn not_transformed(&mut self, unit: &mut Unit, error: &TransformError) {
        let text = error.to_string();
        self.report_failure(&text);
        self.remember(&Arc::new(LastFailure { status: None, text, response: None }), true, unit);
    }

    fn answered(&mut self, sent: Sent) -> Vec<u64> {
        match sent.result {
            Ok(Accepted::All) => self.accepted(sent.batch),
            Ok(Accepted::Except(failed)) => self.partly_accepted(sent.batch, &failed),
            Err(error) => {
                self.failed(sent.batch, &error, sent.is_app_down);
                Vec::new()
            }
        }
    }

    fn accepted(&mut self, batch: Vec<(LaneId, Unit)>) -> Vec<u64> {
        let done = batch.iter().map(|(_, unit)| unit.index).collect();
        if let Some(arrival) = batch.iter().filter_map(|(_, unit)| unit.event.origin.arrival).min() {
            let age = self.bounds.clock.now().as_millis().saturating_sub(arrival.as_millis());
            self.metrics.accepted(Duration::from_millis(u64::try_from(age).unwrap_or_default()));
        }
        for (lane, unit) in batch {
            self.metrics.delivered();
            self.bounds.budget.release(unit.size);
            // The first call of a lane releases it, further ones change nothing.
            self.lanes.release(lane, None);
        }
        done
    }

    fn partly_accepted(&mut self, batch: Vec<(LaneId, Unit)>, failed: &[usize]) -> Vec<u64> {
        let lowest = failed.iter().min().copied().unwrap_or(0);
        let (mut accepted, mut reported, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for (index, unit) in batch.into_iter().enumerate() {
            match self.bounds.settings.partial {
                _ if index == lowest => reported.push(unit),
                Partial::Lowest if index > lowest => after.push(unit),
                // Later records of its lane come again too, or they would pass it. They are not counted as failed.
                Partial::Exact if reported.iter().any(|(lane, _)| *lane == unit.0) => after.push(unit),
                Partial::Exact if failed.contains(&index) => reported.push(unit),
                Partial::Lowest | Partial::Exact => accepted.push(unit),
            }
        }
        // What is put back must be in front of the lane in order, and the pause of the failed record holds for its lane.
        let failed_lanes: Vec<LaneId> = reported.iter().map(|(lane, _)| *lane).collect();
        let mut free = Vec::new();
        for (lane, mut unit) in after.into_iter().rev() {
            unit.event.attempt = unit.event.attempt.saturating_add(1);
            self.lanes.put_back(lane, unit);
            if !failed_lanes.contains(&lane) {
                free.push(lane);
            }
        }
        self.failed_as(reported, &DeliveryError::ReportedFailed, Failure::Counted);
        free.into_iter().for_each(|lane| self.lanes.release(lane, None));
        self.accepted(accepted)
    }

    fn failed(&mut self, batch: Vec<(LaneId, Unit)>, error: &DeliveryError, is_app_down: bool) {
        let Some((_, first)) = batch.first() else { return };
        let policy = self.to.handler.redelivery();
        let rules = self.rules(policy.as_deref());
        let failure = attempts::classify(error, is_app_down, batch.len(), &first.history, rules);
        self.failed_as(batch, error, failure);
    }

    fn rules<'a>(&'a self, policy: Option<&'a dyn RedeliveryPolicy>) -> Rules<'a> {
        Rules { settings: &self.bounds.settings, policy, keeps_dead_letters: self.to.dead_letters.is_some() }
    }

    /// Puts the records of a failed request back, or gives them up. Each lane waits for the longest pause of its records.
    fn failed_as(&mut self, batch: Vec<(LaneId, Unit)>, error: &DeliveryError, failure: Failure) {
        let (records, random, now) = (batch.len(), self.random.f64(), Instant::now());
        let text = cause_line(error);
        if records > 0 {
            self.report_failure(&text);
        }
        // It may quote more than logs should show.
        let response = error.excerpt().filter(|_| self.to.dead_letters.is_some()).map(str::to_owned);
        let last = Arc::new(LastFailure { status: error.status(), text, response });
        let policy = self.to.handler.redelivery();
        let is_sent = !matches!(failure, Failure::Held(_));
        let mut lanes: Vec<(LaneId, Duration)> = Vec::new();
        for (index, (lane, mut unit)) in batch.into_iter().enumerate().rev() {
            if is_sent {
                self.metrics.retried();
            }
            if is_sent && !matches!(error, DeliveryError::NotTransformed(_)) {
                unit.event.attempt = unit.event.attempt.saturating_add(1);
            }
            if matches!(error, DeliveryError::NotHttp { .. }) {
                unit.history.not_http_since.get_or_insert(now);
            } else {
                unit.history.not_http_since = None;
            }
            self.remember(&last, index == 0, &mut unit);
            let rules = self.rules(policy.as_deref());
            let step = attempts::record_failure(&mut unit.history, failure, error, (records, random), rules);
            let pause = match step {
                NextStep::Retry(pause) => pause,
                // It is taken out of the lane again at once, but not sent.
                NextStep::GiveUp(reason) => {
                    unit.history.given_up = Some(reason);
                    Duration::ZERO
                }
            };
            self.log.delivery_failed(&self.to.shard, &unit, pause, &last.text);
            self.lanes.put_back(lane, unit);
            match lanes.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, longest)) => *longest = pause.max(*longest),
                None => lanes.push((lane, pause)),
            }
        }
        for (lane, pause) in lanes {
            self.lanes.release(lane, (!pause.is_zero()).then(|| now + pause));
        }
    }

    /// Keeps the failure with a record. The records of a request share it, and one of them `pays` for its memory.
    fn remember(&mut self, last: &Arc<LastFailure>, pays: bool, unit: &mut Unit) {
        let memory = if pays { last.response.as_ref().map_or(0, String::len) } else { 0 };
        self.bounds.budget.keep(None, memory);
        let before = std::mem::replace(&mut unit.history.paid, memory);
        self.bounds.budget.release(before);
        unit.size = unit.size - before + memory;
        unit.history.last_failure = Some(Arc::clone(last));
    }

    /// Takes the records out of a batch that are not sent (again), and begins to store them as dead letters. Their followers
    /// in the batch go back.
    pub(super) fn give_up_in(&mut self, batch: Vec<(LaneId, Unit)>) -> Vec<(LaneId, Unit)> {
        let now = self.bounds.clock.now();
        let max_age = self.bounds.settings.max_record_age;
        let reason = |unit: &Unit| {
            let age = unit.event.origin.arrival.map(|arrival| now.as_millis().saturating_sub(arrival.as_millis()));
            let age = age.and_then(|age| u64::try_from(age).ok()).map(Duration::from_millis);
            let is_too_old = age.zip(max_age).is_some_and(|(age, max)| age > max);
            unit.history.given_up.or_else(|| is_too_old.then_some(GiveUpReason::Age))
        };
        if batch.iter().all(|(_, unit)| reason(unit).is_none()) {
            return batch;
        }
        let (mut sent, mut back, mut letters) = (Vec::new(), Vec::new(), Vec::<(LaneId, Unit)>::new());
        for (lane, mut unit) in batch {
            let is_behind = letters.iter().chain(&back).any(|(behind, _)| *behind == lane);
            match reason(&unit) {
                _ if is_behind => back.push((lane, unit)),
                // A lane sends what is before the record first.
                Some(_) if sent.iter().any(|(before, _)| *before == lane) => back.push((lane, unit)),
                Some(reason) => {
                    unit.history.given_up = Some(reason);
                    letters.push((lane, unit));
                }
                None => sent.push((lane, unit)),
            }
        }
        back.into_iter().rev().for_each(|(lane, unit)| self.lanes.put_back(lane, unit));
        for (lane, unit) in letters {
            self.last_begun = self.last_begun.max(Some(unit.index));
            self.give_up(lane, unit);
        }
        sent
    }

    /// Stores a record of a busy lane as a dead letter, or does what `onPoison` says.
    fn give_up(&mut self, lane: LaneId, unit: Unit) {
        let (Some(store), Some(reason)) = (self.to.dead_letters.clone(), unit.history.given_up) else {
            return self.give_up_without_destination(lane, unit);
        };
        let last = unit.history.last_failure.as_deref();
        let letter = DeadLetter {
            binding: self.to.binding.clone(),
            stream: Arc::clone(&self.to.stream),
            epoch: self.to.epoch,
            event: BindingEvent { attempt: unit.history.attempts, ..unit.event.clone() },
            reason,
            first_attempt: unit.history.first_attempt,
            last_attempt: unit.history.last_attempt,
            status: last.and_then(|last| last.status),
            error: last.map(|last| last.text.clone()),
            response: last.and_then(|last| last.response.clone()),
        };
        self.calls.push(Box::pin(async move {
            let mut result = store.store(&letter).await;
            if is_broken(Mutant::DeadLetterUnconfirmed) {
                result = Ok(());
            }
            Call::DeadLetter { lane, unit: Box::new(unit), result }
        }));
    }

    fn give_up_without_destination(&mut self, lane: LaneId, unit: Unit) {
        let (shard, position) = (&self.to.shard, &unit.event.origin.position);
        let (attempts, last) = (unit.history.attempts, unit.history.last_failure.clone());
        let error = last.as_deref().map(|last| last.text.as_str()).unwrap_or_default();
        let remedy = match unit.history.given_up {
            Some(GiveUpReason::Transform) => "set deadLetterBinding or deadLetterFolder, or repair the transform",
            Some(_) | None => "set deadLetterBinding or deadLetterFolder, or repair the app and restart",
        };
        match self.bounds.settings.on_poison {
            OnPoison::HaltKey => {
                tracing::error!(%shard, %position, attempts, %error, remedy, "key halted: its record was given up");
                self.lanes.put_back(lane, unit);
                self.lanes.halt(lane);
            }
            OnPoison::HaltShard => {
                tracing::error!(%shard, %position, attempts, %error, remedy, "shard halted: a record was given up");
                self.lanes.put_back(lane, unit);
                self.lanes.halt(lane);
                self.mode = match self.mode {
                    Mode::Running => Mode::Halted,
                    Mode::Draining => Mode::DrainingHalted,
                    mode @ (Mode::Halted | Mode::DrainingHalted | Mode::Drained) => mode,
                };
            }
            OnPoison::Drop => {
                self.log.dropped(shard, &unit);
                self.metrics.dropped();
                self.calls.push(Box::pin(std::future::ready(Call::DeadLetter {
                    lane,
                    unit: Box::new(unit),
                    result: Ok(()),
                })));
            }
        }
    }
}
