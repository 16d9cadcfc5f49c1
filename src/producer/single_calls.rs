//! Records whose batch is not allowed: each is sent by its own call.

use super::batch_permission::{News, Refused};
use super::engine::{Engine, Reply};
use super::forming::Users;
use crate::domain::BindingError;
use tokio::time::Instant;

impl Engine {
    /// Learns from a reply which calls are allowed.
    pub(super) fn note_permission(&mut self, sent: usize, reply: &Reply, now: Instant) {
        let news = match reply {
            Ok(_) if sent > 1 => self.batch_permission.batch_answered(),
            Ok(answers) if answers.iter().all(Result::is_ok) => self.batch_permission.single_stored(),
            Err(error) if sent == 1 && error.lacks_permission() => {
                self.batch_permission.single_refused(now);
                None
            }
            Ok(_) | Err(_) => None,
        };
        let component = self.metrics.component();
        match news {
            Some(News::OnlySingle) => {
                let error = self.batch_refusal.as_ref().map(tracing::field::display);
                tracing::warn!(
                    component,
                    error,
                    "calls with several records are not allowed; each record is sent by its own call"
                );
            }
            Some(News::BatchesAllowed) => tracing::info!(component, "calls with several records are allowed again"),
            None => {}
        }
    }

    /// A batch was refused for want of a permission. Nothing of it was stored.
    pub(super) fn batch_not_allowed(&mut self, units: &[Users], error: BindingError, now: Instant) {
        match self.batch_permission.batch_refused(now) {
            Refused::Fail => self.fail_whole(units, &error, now),
            Refused::SendSingly => {
                units.iter().for_each(|unit| self.note_refusal(unit, &error));
                self.queue.part(units.iter().flat_map(Users::tickets));
                self.singles.extend(units.iter().cloned());
                self.batch_refusal = Some(error);
            }
        }
    }

    /// What is left of a refused batch and goes next.
    pub(super) fn next_part(&mut self, now: Instant) -> Option<Vec<Users>> {
        if self.batch_permission.is_all_refused(now)
            && let Some(error) = self.batch_refusal.clone()
        {
            for unit in std::mem::take(&mut self.singles) {
                unit.tickets().iter().for_each(|ticket| self.fail(*ticket, error.clone(), now));
            }
        }
        if let Some(unit) = self.singles.pop_front() {
            return Some(vec![unit]);
        }
        let units = self.parts.pop_front()?;
        if units.len() == 1 || self.batch_permission.may_batch(now) {
            return Some(units);
        }
        self.singles.extend(units);
        self.singles.pop_front().map(|unit| vec![unit])
    }
}
