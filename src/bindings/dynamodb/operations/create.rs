//! `create`: stores the JSON object of a request as an item (`PutItem`).

use super::super::context::TableContext;
use super::super::etag::Etag;
use super::super::expression::{Condition, with_condition};
use super::super::options::Options;
use super::super::request::Request;
use super::super::{table_key, ttl};
use super::single_write::{Proof, Repeatability, SingleWrite};
use crate::aws::{Item, KeySchema};
use crate::domain::{BindingError, InvokeResponse};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use tokio::time::Instant;

const RETURN_VALUES: [ReturnValue; 2] = [ReturnValue::None, ReturnValue::AllOld];

/// Stores `data`, replacing the item of the same key. Request metadata: `conditionExpression` with
/// `expressionAttributeNames` and `expressionAttributeValues`, `ttlInSeconds`, `etag`, `concurrency`, `returnValues`,
/// `returnValuesOnConditionCheckFailure`.
///
/// # Errors
/// When the request is wrong, or as DynamoDB returned.
pub(in super::super) async fn create(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let (item, condition, write) = prepare(cx, &request).await.inspect_err(|_| cx.count_refused(1))?;
    let put = cx.client.put_item().table_name(&cx.table).set_item(Some(item));
    let put = with_condition!(put, condition)
        .return_values(write.return_values.clone())
        .set_return_values_on_condition_check_failure(write.requested_on_condition_failure())
        .set_return_consumed_capacity(cx.consumed_capacity());
    let send = || cx.call("DynamoDB: PutItem", request.deadline, put.clone().send());
    write.run(cx, &request, send).await
}

/// What a request says about the item to store.
pub(in super::super) struct NewItem {
    item: Item,
    condition: Option<Condition>,
    etag: Option<Etag>,
    return_values: ReturnValue,
    on_condition_failure: Option<ReturnValuesOnConditionCheckFailure>,
}

/// Reads the item of a request, as far as that needs no call. `key` is the table's, if it is known.
///
/// # Errors
/// When the request is wrong.
pub(in super::super) fn new_item(
    request: &Request,
    options: &Options,
    key: Option<&KeySchema>,
) -> Result<NewItem, BindingError> {
    let mut item = request.codec.item(&request.data)?;
    let return_values = request.return_values(&RETURN_VALUES)?;
    let now = ttl::now();
    ttl::set_expiry(&mut item, &request.metadata, options.ttl.as_ref(), now)?;
    let etag = Etag::read(&request.metadata, options.etag_attribute.as_deref())?;
    if let Some(etag) = &etag {
        item.insert(etag.attribute.clone(), AttributeValue::S(etag.new.clone()));
    }
    table_key::check_item(key, &item)?;
    let condition = request.condition()?;
    let hidden = options.hidden_by_ttl();
    let condition = match etag.as_ref().and_then(|etag| etag.condition_of_create(hidden, now)) {
        Some(version) => Some(version.and(condition)),
        None => condition,
    };
    let on_condition_failure = request.on_condition_failure()?;
    Ok(NewItem { item, condition, etag, return_values, on_condition_failure })
}

async fn prepare(cx: &TableContext, request: &Request) -> Result<(Item, Option<Condition>, SingleWrite), BindingError> {
    let NewItem { item, condition, etag, return_values, on_condition_failure } =
        new_item(request, &cx.options, cx.keys.known())?;
    let has_condition = condition.is_some();
    let repeatability =
        Repeatability { has_condition, is_cumulative: false, return_values: &return_values, etag: etag.as_ref() };
    let write = SingleWrite {
        operation: "PutItem",
        repeat: repeatability.repeat(request.repeat_ambiguous(cx.options.repeat_ambiguous)),
        proof: proof(cx, etag, &item, request.deadline).await?,
        return_values,
        on_condition_failure,
    };
    Ok((item, condition, write))
}

/// The table's key is needed only to read back a version.
async fn proof(cx: &TableContext, etag: Option<Etag>, item: &Item, deadline: Instant) -> Result<Proof, BindingError> {
    let Some(etag) = etag else { return Ok(Proof::Nothing) };
    let schema = cx.find_key(deadline).await;
    table_key::check_etag_attribute(schema, &etag.attribute)?;
    let key = schema.and_then(|schema| table_key::key_of(schema, item));
    Ok(Proof::Version { etag, key })
}
