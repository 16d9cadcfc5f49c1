//! `delete`: deletes one item (`DeleteItem`).

use super::super::context::TableContext;
use super::super::etag::Etag;
use super::super::expression::{Condition, with_condition};
use super::super::failure::invalid_request;
use super::super::request::Request;
use super::super::request_data::parse_key_and_condition;
use super::super::table_key;
use super::single_write::{Proof, Repeatability, SingleWrite};
use crate::aws::Item;
use crate::domain::{BindingError, InvokeResponse};
use aws_sdk_dynamodb::types::ReturnValue;

const RETURN_VALUES: [ReturnValue; 2] = [ReturnValue::None, ReturnValue::AllOld];

/// Deletes an item; if it does not exist that is success too, unless a condition says otherwise. Request metadata:
/// `etag`, `returnValues`, `returnValuesOnConditionCheckFailure`, and a condition as for `create` where `data` has none.
///
/// # Errors
/// When the request is wrong, or as DynamoDB returned.
pub(in super::super) async fn delete(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let (key, condition, write) = prepare(cx, &request).inspect_err(|_| cx.count_refused(1))?;
    let delete = cx.client.delete_item().table_name(&cx.table).set_key(Some(key));
    let delete = with_condition!(delete, condition)
        .return_values(write.return_values.clone())
        .set_return_values_on_condition_check_failure(write.requested_on_condition_failure())
        .set_return_consumed_capacity(cx.consumed_capacity());
    let send = || cx.call("DynamoDB: DeleteItem", request.deadline, delete.clone().send());
    write.run(cx, &request, send).await
}

fn prepare(cx: &TableContext, request: &Request) -> Result<(Item, Option<Condition>, SingleWrite), BindingError> {
    let (key, in_data) = parse_key_and_condition(&request.codec, &request.data)?;
    table_key::check_key(cx.keys.known(), &key)?;
    let return_values = request.return_values(&RETURN_VALUES)?;
    let condition = match (in_data, request.condition()?) {
        (Some(_), Some(_)) => {
            return Err(invalid_request("the condition is given twice: in `data` and in the request's metadata"));
        }
        (in_data, in_metadata) => in_data.or(in_metadata),
    };
    let etag = Etag::read(&request.metadata, cx.options.etag_attribute.as_deref())?;
    let condition = match etag.as_ref().and_then(Etag::condition) {
        Some(version) => Some(version.and(condition)),
        None => condition,
    };
    let has_condition = condition.is_some();
    let repeatability =
        Repeatability { has_condition, is_cumulative: false, return_values: &return_values, etag: etag.as_ref() };
    let write = SingleWrite {
        operation: "DeleteItem",
        repeat: repeatability.repeat(request.repeat_ambiguous(cx.options.repeat_ambiguous)),
        proof: if etag.as_ref().is_some_and(Etag::is_idempotent) { Proof::Absence } else { Proof::Nothing },
        return_values,
        on_condition_failure: request.on_condition_failure()?,
    };
    Ok((key, condition, write))
}
