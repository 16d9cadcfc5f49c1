//! One write of one item, repeated until its outcome is known or another attempt could do harm.
//!
//! A write whose reply was lost may have been done. If the item holds a version that only this write can have stored,
//! the write succeeded. If sending it again does no harm, it is sent again. Otherwise the caller gets
//! [`Outcome::Unknown`].

use super::super::context::TableContext;
use super::super::etag::Etag;
use super::super::failure::{CONDITION_FAILED, CallFailure};
use super::super::request::Request;
use super::super::response::{capacity_header, capacity_units, json_body};
use crate::aws::Item;
use crate::domain::{BindingError, InvokeResponse, Outcome};
use crate::resilience::Idempotency;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// What proves that a write was done although its reply was lost.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    Nothing,
    /// The item has this write's new version. Without the key the item cannot be read, but a failed condition returns
    /// it.
    Version {
        etag: Etag,
        key: Option<Item>,
    },
    /// The item does not exist any more.
    Absence,
}

/// One write, and how it is repeated and confirmed.
#[derive(Debug)]
pub(super) struct SingleWrite {
    /// AWS's name for it.
    pub(super) operation: &'static str,
    /// Whether it may be sent again after an unknown outcome.
    pub(super) repeat: Idempotency,
    pub(super) proof: Proof,
    /// Which attributes the caller requests.
    pub(super) return_values: ReturnValue,
    /// Set if the caller requests the item on which a condition failed.
    pub(super) on_condition_failure: Option<ReturnValuesOnConditionCheckFailure>,
}

/// What the outputs of all single writes hold.
#[derive(Debug)]
pub(super) struct WriteOutput {
    attributes: Option<Item>,
    capacity: Option<f64>,
}

macro_rules! impl_write_output {
    ($($output:ident),*) => {
        $(impl From<$output> for WriteOutput {
            fn from(output: $output) -> Self {
                Self { attributes: output.attributes, capacity: capacity_units(&output.consumed_capacity) }
            }
        })*
    };
}

impl_write_output!(PutItemOutput, UpdateItemOutput, DeleteItemOutput);

enum Confirmation {
    ByReply(WriteOutput),
    /// With the item as it is now.
    ByProof(Option<Item>),
}

impl SingleWrite {
    /// What the call requests: the stored item is needed as a proof too.
    pub(super) fn requested_on_condition_failure(&self) -> Option<ReturnValuesOnConditionCheckFailure> {
        match self.proof {
            Proof::Nothing => self.on_condition_failure.clone(),
            Proof::Version { .. } | Proof::Absence => Some(ReturnValuesOnConditionCheckFailure::AllOld),
        }
    }

    /// Sends the write, repeats it if that is safe, and builds the response.
    ///
    /// # Errors
    /// The last failure; `Outcome::Unknown` where the write may have been done.
    pub(super) async fn run<T, F>(
        self,
        cx: &TableContext,
        request: &Request,
        mut send: impl FnMut() -> F,
    ) -> Result<InvokeResponse, BindingError>
    where
        T: Into<WriteOutput>,
        F: Future<Output = Result<T, CallFailure>> + Send,
    {
        let was_unknown = AtomicBool::new(false);
        let attempt = || {
            let sent = send();
            let (this, was_unknown) = (&self, &was_unknown);
            async move {
                let failure = match sent.await {
                    Ok(output) => return Ok(Confirmation::ByReply(output.into())),
                    Err(failure) => failure,
                };
                if failure.error.outcome() == Outcome::Unknown {
                    was_unknown.store(true, Ordering::Relaxed);
                }
                if was_unknown.load(Ordering::Relaxed)
                    && let Some(item) = this.prove(cx, &failure, request.deadline).await
                {
                    tracing::debug!(operation = this.operation, "reply was lost; stored version proves the write");
                    return Ok(Confirmation::ByProof(item));
                }
                Err(request.call_error(failure, this.on_condition_failure.as_ref()))
            }
        };
        let spent = cx.runner.run(request.call(self.operation, self.repeat).writing(1), attempt).await?;
        self.respond(spent.value, spent.attempts, request)
    }

    /// `Some` if the stored item proves that an earlier attempt was done.
    async fn prove(&self, cx: &TableContext, failure: &CallFailure, deadline: Instant) -> Option<Option<Item>> {
        let is_condition = failure.error.reason() == Some(CONDITION_FAILED);
        match &self.proof {
            Proof::Nothing => None,
            // The condition names a version, so only this item was to be deleted, and it is gone.
            Proof::Absence => (is_condition && failure.item.is_none()).then_some(None),
            Proof::Version { etag, key } => {
                let item = match (is_condition, key) {
                    (true, _) => failure.item.as_deref().cloned(),
                    (false, Some(key)) => self.read_back(cx, key.clone(), deadline).await,
                    (false, None) => None,
                };
                item.filter(|item| etag.is_new_version(item)).map(Some)
            }
        }
    }

    async fn read_back(&self, cx: &TableContext, key: Item, deadline: Instant) -> Option<Item> {
        let get = cx.client.get_item().table_name(&cx.table).set_key(Some(key)).consistent_read(true);
        let get = get.set_return_consumed_capacity(cx.consumed_capacity());
        match cx.call("DynamoDB: GetItem", deadline, get.send()).await {
            Ok(output) => output.item,
            Err(failure) => {
                let error = failure.error;
                tracing::debug!(operation = self.operation, %error, "item could not be read after a lost reply");
                None
            }
        }
    }

    fn respond(
        &self,
        confirmation: Confirmation,
        attempts: u32,
        request: &Request,
    ) -> Result<InvokeResponse, BindingError> {
        let mut response = InvokeResponse::default();
        let attributes = match confirmation {
            Confirmation::ByReply(output) => {
                response.metadata.extend(capacity_header(output.capacity));
                let attributes = output.attributes.filter(|attributes| !attributes.is_empty());
                (self.return_values != ReturnValue::None).then_some(attributes)
            }
            Confirmation::ByProof(item) => {
                response.metadata.push(("confirmedBy".into(), "etag".to_owned()));
                // The item is as the write left it; its old attributes are not known any more.
                (self.return_values == ReturnValue::AllNew).then_some(item)
            }
        };
        if let Proof::Version { etag, .. } = &self.proof {
            response.metadata.push(("etag".into(), etag.new.clone()));
        }
        if attempts > 1 {
            response.metadata.push(("attempts".into(), attempts.to_string()));
        }
        if let Some(attributes) = attributes {
            let attributes = attributes.map(|item| request.item_json(&item)).transpose()?;
            response.data = Some(json_body(&Attributes { attributes })?);
        }
        Ok(response)
    }
}

#[derive(Serialize)]
struct Attributes {
    /// `null` where the write returned none.
    attributes: Option<Box<RawValue>>,
}

/// What decides whether a write may be sent again after an unknown outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeatability<'w> {
    pub(super) has_condition: bool,
    /// A second time would count or append again.
    pub(super) is_cumulative: bool,
    pub(super) return_values: &'w ReturnValue,
    pub(super) etag: Option<&'w Etag>,
}

impl Repeatability<'_> {
    /// A write without condition may be repeated: it leaves the same item. Not so where it returns old attributes,
    /// which the first attempt may have overwritten, where it counts, or under a condition, which the first attempt may
    /// have made false: then `otherwise` decides. A condition on the item's version is safe again: once the write was
    /// done the condition fails, and the item shows why.
    pub(super) fn repeat(self, otherwise: Idempotency) -> Idempotency {
        if self.etag.is_some_and(Etag::is_idempotent) {
            return Idempotency::Idempotent;
        }
        let returns_old = matches!(self.return_values, ReturnValue::AllOld | ReturnValue::UpdatedOld);
        if self.has_condition || self.is_cumulative || returns_old { otherwise } else { Idempotency::Idempotent }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::etag::Expected;
    use super::*;

    #[test]
    fn only_harmless_writes_are_sent_again() {
        let etag = |expected| Etag { attribute: "v".to_owned(), expected, new: "n".to_owned() };
        let (any, none) = (etag(Expected::Any), etag(Expected::None));
        let version = etag(Expected::Version("o".to_owned()));
        let write = |has_condition, is_cumulative, return_values, etag| Repeatability {
            has_condition,
            is_cumulative,
            return_values,
            etag,
        };
        for harmless in [
            write(false, false, &ReturnValue::None, None),
            write(false, false, &ReturnValue::AllNew, Some(&any)),
            write(true, true, &ReturnValue::AllOld, Some(&version)),
        ] {
            assert_eq!(harmless.repeat(Idempotency::NotIdempotent), Idempotency::Idempotent, "{harmless:?}");
        }
        for harmful in [
            write(true, false, &ReturnValue::None, None),
            write(false, true, &ReturnValue::None, None),
            write(false, false, &ReturnValue::AllOld, None),
            write(true, false, &ReturnValue::None, Some(&none)),
        ] {
            assert_eq!(harmful.repeat(Idempotency::NotIdempotent), Idempotency::NotIdempotent, "{harmful:?}");
            assert_eq!(harmful.repeat(Idempotency::Idempotent), Idempotency::Idempotent, "{harmful:?}");
        }
    }
}
