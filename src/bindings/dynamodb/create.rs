//! `create`: the JSON object of a request becomes an item.

use super::calls::{Item, Put, Returned, Value};
use super::etag::Etag;
use super::output::Output;
use super::request::Request;
use super::writes::{Attempted, Proof, repeat};
use super::{keys, life};
use crate::domain::{BindingError, InvokeResponse};
use tokio::time::Instant;

const RETURNED: [(&str, Returned); 2] = [("NONE", Returned::Nothing), ("ALL_OLD", Returned::AllOld)];

/// Stores `data`, replacing the item of the same key. Request metadata: `conditionExpression` with
/// `expressionAttributeNames` and `expressionAttributeValues`, `ttlInSeconds`, `etag`, `concurrency`, `returnValues`,
/// `returnValuesOnConditionCheckFailure`.
///
/// # Errors
/// When the request is wrong, or as DynamoDB answered.
pub(super) async fn run(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let (put, attempted) = prepared(output, &request).await.inspect_err(|_| output.refused(1))?;
    let (returned, on_refusal) = (attempted.returned, attempted.asked_on_refusal());
    let attempt = || output.items.put(put.clone(), returned, on_refusal, request.deadline);
    attempted.run(output, &request, attempt).await
}

async fn prepared(output: &Output, request: &Request) -> Result<(Put, Attempted), BindingError> {
    let mut item = request.spelling.item(&request.data)?;
    let returned = request.returned(&RETURNED)?;
    let now = life::now();
    life::limit_life(&mut item, &request.metadata, output.options.life.as_ref(), now)?;
    let etag = Etag::read(&request.metadata, output.options.etag_attribute.as_deref())?;
    if let Some(etag) = &etag {
        item.insert(etag.attribute.clone(), Value::S(etag.new.clone()));
    }
    keys::check_item(output.keys.known(), &item)?;
    let stated = request.condition()?;
    let hidden = output.options.hidden();
    let condition = match etag.as_ref().and_then(|etag| etag.condition_of_create(hidden, now)) {
        Some(version) => Some(version.and(stated)),
        None => stated,
    };
    let otherwise = request.repeat_ambiguous(output.options.repeat_ambiguous);
    let attempted = Attempted {
        operation: "PutItem",
        repeat: repeat(condition.is_some(), false, returned, etag.as_ref(), otherwise),
        proof: proof(output, etag, &item, request.deadline).await?,
        returned,
        on_refusal: request.on_refusal()?,
    };
    Ok((Put { item, condition }, attempted))
}

/// The key is asked for only where a version could prove something.
async fn proof(output: &Output, etag: Option<Etag>, item: &Item, deadline: Instant) -> Result<Proof, BindingError> {
    let Some(etag) = etag else { return Ok(Proof::Nothing) };
    let schema = output.keys.find(&output.items, deadline).await;
    keys::check_version(schema, &etag.attribute)?;
    let key = schema.and_then(|schema| keys::key_of(schema, item));
    Ok(Proof::Version { etag, key })
}
