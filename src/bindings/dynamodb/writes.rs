//! One write, tried until its outcome is known or may not be made known by trying.
//!
//! A write whose reply was lost may have been carried out. Where the item holds a version that only this write can have
//! left, the item is read, and that is the answer. Where sending it again can do no harm, it is sent again. Else the
//! caller is told that nobody knows.

use super::calls::{CONDITION_FAILED, Consistency, Get, Item, OnRefusal, Placeholders, Refused, Returned, Written};
use super::etag::Etag;
use super::output::Output;
use super::request::Request;
use crate::domain::{BindingError, InvokeResponse, Outcome};
use crate::resilience::Idempotency;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// What proves that a write was carried out although its reply was lost.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// Nothing does.
    Nothing,
    /// The item holds the version that this write gives it. Without the key the item is not read, but the one that a
    /// failed condition gives back is looked at.
    Version {
        /// The versions of the write.
        etag: Etag,
        /// The item's key, where it is known.
        key: Option<Item>,
    },
    /// The item is gone.
    Absence,
}

/// How one write is tried and answered.
#[derive(Debug)]
pub(super) struct Attempted {
    /// The service's name for it.
    pub(super) operation: &'static str,
    /// Whether it may be sent again after an unknown outcome.
    pub(super) repeat: Idempotency,
    /// What proves it.
    pub(super) proof: Proof,
    /// Which attributes the caller wants.
    pub(super) returned: Returned,
    /// Whether the caller wants the item on which a condition failed.
    pub(super) on_refusal: OnRefusal,
}

/// What is known of a write that succeeded.
enum Done {
    /// The service said so.
    Answered(Written),
    /// The item shows it.
    Proven(Option<Item>),
}

impl Attempted {
    /// What the service is asked to give back on a failed condition: the item is needed as a proof too.
    pub(super) const fn asked_on_refusal(&self) -> OnRefusal {
        match self.proof {
            Proof::Nothing => self.on_refusal,
            Proof::Version { .. } | Proof::Absence => OnRefusal::Item,
        }
    }

    /// Tries a write and answers the request.
    ///
    /// # Errors
    /// The last failure; `Outcome::Unknown` where the write may have been carried out.
    pub(super) async fn run<F>(
        self,
        output: &Output,
        request: &Request,
        mut send: impl FnMut() -> F,
    ) -> Result<InvokeResponse, BindingError>
    where
        F: Future<Output = Result<Written, Refused>> + Send,
    {
        let was_unknown = AtomicBool::new(false);
        let attempt = || {
            let sent = send();
            let (this, was_unknown) = (&self, &was_unknown);
            async move {
                let refused = match sent.await {
                    Ok(written) => return Ok(Done::Answered(written)),
                    Err(refused) => refused,
                };
                if refused.error.outcome() == Outcome::Unknown {
                    was_unknown.store(true, Ordering::Relaxed);
                }
                if was_unknown.load(Ordering::Relaxed)
                    && let Some(item) = this.prove(output, &refused, request.deadline).await
                {
                    tracing::debug!(operation = this.operation, "lost reply was replaced by the item's version");
                    return Ok(Done::Proven(item));
                }
                Err(this.failure(refused, request))
            }
        };
        let spent = output.attempts.run(request.call(self.operation, self.repeat).writing(1), attempt).await?;
        self.answer(spent.value, spent.attempts, request)
    }

    /// The item, if it shows that an earlier attempt was carried out.
    async fn prove(&self, output: &Output, refused: &Refused, deadline: Instant) -> Option<Option<Item>> {
        let is_condition = refused.error.reason() == Some(CONDITION_FAILED);
        match &self.proof {
            Proof::Nothing => None,
            // The condition names a version, so only this one was to be removed, and it is gone.
            Proof::Absence => (is_condition && refused.item.is_none()).then_some(None),
            Proof::Version { etag, key } => {
                let item = match (is_condition, key) {
                    (true, _) => refused.item.clone(),
                    (false, Some(key)) => self.read_back(output, key.clone(), deadline).await,
                    (false, None) => None,
                };
                item.filter(|item| etag.is_ours(item)).map(Some)
            }
        }
    }

    async fn read_back(&self, output: &Output, key: Item, deadline: Instant) -> Option<Item> {
        let placeholders = Placeholders::default();
        let get = Get { key, projection: None, placeholders, consistency: Consistency::Strong };
        match output.items.get(get, deadline).await {
            Ok(found) => found.item,
            Err(error) => {
                tracing::debug!(operation = self.operation, %error, "item could not be read after a lost reply");
                None
            }
        }
    }

    fn failure(&self, refused: Refused, request: &Request) -> BindingError {
        let shown = refused.item.filter(|_| self.on_refusal == OnRefusal::Item);
        let shown = shown.and_then(|item| request.spelling.write(&item).ok());
        shown.into_iter().fold(refused.error, |error, item| error.with_detail("item", item.get()))
    }

    fn answer(&self, done: Done, attempts: u32, request: &Request) -> Result<InvokeResponse, BindingError> {
        let mut response = InvokeResponse::default();
        let attributes = match done {
            Done::Answered(written) => {
                response.metadata.extend(capacity_header(written.capacity));
                (self.returned != Returned::Nothing).then_some(written.attributes)
            }
            Done::Proven(item) => {
                response.metadata.push(("confirmedBy", "etag".to_owned()));
                // The item is as the write left it; how it was before, nobody can tell any more.
                (self.returned == Returned::AllNew).then_some(item)
            }
        };
        if let Proof::Version { etag, .. } = &self.proof {
            response.metadata.push(("etag", etag.new.clone()));
        }
        if attempts > 1 {
            response.metadata.push(("attempts", attempts.to_string()));
        }
        if let Some(attributes) = attributes {
            let attributes = attributes.map(|item| request.written(&item)).transpose()?;
            response.data = Some(body(&Attributes { attributes })?);
        }
        Ok(response)
    }
}

#[derive(Serialize)]
struct Attributes {
    /// `null` where there is no item to tell of.
    attributes: Option<Box<RawValue>>,
}

/// A body of JSON.
///
/// # Errors
/// When the JSON library refuses, which strings and checked texts do not make it.
pub(super) fn body(value: &impl Serialize) -> Result<bytes::Bytes, BindingError> {
    serde_json::to_vec(value).map(bytes::Bytes::from).map_err(super::request::unwritable)
}

/// The header that tells what a call cost, in capacity units.
pub(super) fn capacity_header(units: Option<f64>) -> Option<(&'static str, String)> {
    units.map(|units| ("consumedCapacity", units.to_string()))
}

/// Whether a write may be sent again after an unknown outcome.
///
/// One without condition may: the second leaves what the first left. Not so where it is asked what was there before, for
/// the second would tell of the first, nor where it counts, nor under a condition, which the first may have broken.
/// A condition on the item's version is the exception: once carried out, it fails, and the item shows why.
pub(super) fn repeat(
    has_condition: bool,
    is_growing: bool,
    returned: Returned,
    etag: Option<&Etag>,
    otherwise: Idempotency,
) -> Idempotency {
    if etag.is_some_and(Etag::protects) {
        return Idempotency::Idempotent;
    }
    let tells_before = match returned {
        Returned::AllOld | Returned::UpdatedOld => true,
        Returned::Nothing | Returned::AllNew | Returned::UpdatedNew => false,
    };
    if has_condition || is_growing || tells_before { otherwise } else { Idempotency::Idempotent }
}

#[cfg(test)]
mod tests {
    use super::super::etag::Expected;
    use super::*;

    #[test]
    fn only_harmless_writes_are_sent_again() {
        let etag = |expected| Etag { attribute: "v".to_owned(), expected, new: "n".to_owned() };
        let version = etag(Expected::Version("o".to_owned()));
        let decide = |condition, growing, returned, etag: Option<&Etag>| {
            repeat(condition, growing, returned, etag, Idempotency::NotIdempotent)
        };
        assert_eq!(decide(false, false, Returned::Nothing, None), Idempotency::Idempotent);
        assert_eq!(decide(false, false, Returned::AllNew, Some(&etag(Expected::Any))), Idempotency::Idempotent);
        assert_eq!(decide(true, true, Returned::AllOld, Some(&version)), Idempotency::Idempotent);
        for (condition, growing, returned, etag) in [
            (true, false, Returned::Nothing, None),
            (false, true, Returned::Nothing, None),
            (false, false, Returned::AllOld, None),
            (true, false, Returned::Nothing, Some(&etag(Expected::None))),
        ] {
            assert_eq!(decide(condition, growing, returned, etag), Idempotency::NotIdempotent);
            assert_eq!(repeat(condition, growing, returned, etag, Idempotency::Idempotent), Idempotency::Idempotent);
        }
    }
}
