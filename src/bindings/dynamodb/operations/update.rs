//! `update`: changes attributes of one item, or creates it if it does not exist (`UpdateItem`).

use super::super::context::TableContext;
use super::super::etag::{Etag, set_version};
use super::super::failure::invalid_request;
use super::super::request::Request;
use super::super::update_expression::{Repetition, Update, parse_update};
use super::super::{table_key, ttl};
use super::single_write::{Proof, Repeatability, SingleWrite};
use crate::domain::{BindingError, InvokeResponse};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

const RETURN_VALUES: [ReturnValue; 5] =
    [ReturnValue::None, ReturnValue::AllOld, ReturnValue::UpdatedOld, ReturnValue::AllNew, ReturnValue::UpdatedNew];

/// Changes an item. Request metadata: `ttlInSeconds`, `etag`, `concurrency`, `returnValues`,
/// `returnValuesOnConditionCheckFailure`, and a condition as for `create` where `data` has none.
///
/// # Errors
/// When the request is wrong, or as DynamoDB returned.
pub(in super::super) async fn update(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let (update, write) = prepare(cx, &request).inspect_err(|_| cx.count_refused(1))?;
    let (names, values) = update.placeholders.into_parts();
    let call = cx
        .client
        .update_item()
        .table_name(&cx.table)
        .set_key(Some(update.key))
        .update_expression(update.expression)
        .set_condition_expression(update.condition)
        .set_expression_attribute_names(names)
        .set_expression_attribute_values(values)
        .return_values(write.return_values.clone())
        .set_return_values_on_condition_check_failure(write.requested_on_condition_failure())
        .set_return_consumed_capacity(cx.consumed_capacity());
    let send = || cx.call("DynamoDB: UpdateItem", request.deadline, call.clone().send());
    write.run(cx, &request, send).await
}

fn prepare(cx: &TableContext, request: &Request) -> Result<(Update, SingleWrite), BindingError> {
    let mut update = parse_update(&request.codec, &request.data)?;
    table_key::check_key(cx.keys.known(), &update.key)?;
    let return_values = request.return_values(&RETURN_VALUES)?;
    if let Some(condition) = request.condition()? {
        if update.condition.is_some() {
            return Err(invalid_request("the condition is given twice: in `data` and in the request's metadata"));
        }
        update.require(condition);
    }
    let etag = Etag::read(&request.metadata, cx.options.etag_attribute.as_deref())?;
    set_managed_attributes(&mut update, request, cx, etag.as_ref())?;
    let repeatability = Repeatability {
        has_condition: update.condition.is_some(),
        is_cumulative: update.repetition == Repetition::Cumulative,
        return_values: &return_values,
        etag: etag.as_ref(),
    };
    let write = SingleWrite {
        operation: "UpdateItem",
        repeat: repeatability.repeat(request.repeat_ambiguous(cx.options.repeat_ambiguous)),
        proof: etag.map_or(Proof::Nothing, |etag| Proof::Version { etag, key: Some(update.key.clone()) }),
        return_values,
        on_condition_failure: request.on_condition_failure()?,
    };
    Ok((update, write))
}

/// Sets expiry and version, and requires the expected version.
fn set_managed_attributes(
    update: &mut Update,
    request: &Request,
    cx: &TableContext,
    etag: Option<&Etag>,
) -> Result<(), BindingError> {
    if let Some((attribute, expiry)) = ttl::requested_expiry(&request.metadata, cx.options.ttl.as_ref(), ttl::now())? {
        if update.writes_to(attribute) {
            let text = "which the request metadata `ttlInSeconds` sets: leave one of them out";
            return Err(invalid_request(format!("the update writes to `{attribute}`, {text}")));
        }
        update.set((ttl::TTL_NAME, attribute), (ttl::TTL_VALUE, expiry));
    }
    if let Some(etag) = etag {
        set_version(update, &etag.attribute, AttributeValue::S(etag.new.clone()))?;
        if let Some(condition) = etag.condition() {
            update.require(condition);
        }
    }
    Ok(())
}
