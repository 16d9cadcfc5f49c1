//! `update`: changes attributes of one item, creating it if it is not there.

use super::calls::{Effect, Returned, Update, Value};
use super::etag::{Etag, give_version};
use super::output::Output;
use super::request::Request;
use super::shapes::refused;
use super::update_shape::read_update;
use super::writes::{Attempted, Proof, repeat};
use super::{keys, life};
use crate::domain::{BindingError, InvokeResponse};

const RETURNED: [(&str, Returned); 5] = [
    ("NONE", Returned::Nothing),
    ("ALL_OLD", Returned::AllOld),
    ("UPDATED_OLD", Returned::UpdatedOld),
    ("ALL_NEW", Returned::AllNew),
    ("UPDATED_NEW", Returned::UpdatedNew),
];

/// Changes an item. Request metadata: `ttlInSeconds`, `etag`, `concurrency`, `returnValues`,
/// `returnValuesOnConditionCheckFailure`, and a condition as for `create` where `data` has none.
///
/// # Errors
/// When the request is wrong, or as DynamoDB answered.
pub(super) async fn run(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let (update, attempted) = prepared(output, &request).inspect_err(|_| output.refused(1))?;
    let (returned, on_refusal) = (attempted.returned, attempted.asked_on_refusal());
    let attempt = || output.items.update(update.clone(), returned, on_refusal, request.deadline);
    attempted.run(output, &request, attempt).await
}

fn prepared(output: &Output, request: &Request) -> Result<(Update, Attempted), BindingError> {
    let mut update = read_update(&request.spelling, &request.data)?;
    keys::check_key(output.keys.known(), &update.key)?;
    let returned = request.returned(&RETURNED)?;
    if let Some(condition) = request.condition()? {
        if update.condition.is_some() {
            return Err(refused("the condition is given twice: in `data` and in the request's metadata"));
        }
        update.require(condition);
    }
    let etag = Etag::read(&request.metadata, output.options.etag_attribute.as_deref())?;
    add_own(&mut update, request, output, etag.as_ref())?;
    let is_growing = update.effect == Effect::Growing;
    let otherwise = request.repeat_ambiguous(output.options.repeat_ambiguous);
    let attempted = Attempted {
        operation: "UpdateItem",
        repeat: repeat(update.condition.is_some(), is_growing, returned, etag.as_ref(), otherwise),
        proof: etag.map_or(Proof::Nothing, |etag| Proof::Version { etag, key: Some(update.key.clone()) }),
        returned,
        on_refusal: request.on_refusal()?,
    };
    Ok((update, attempted))
}

/// Adds the end of the item's life, its new version and the condition on the old one.
fn add_own(update: &mut Update, request: &Request, output: &Output, etag: Option<&Etag>) -> Result<(), BindingError> {
    if let Some((attribute, end)) = life::stated_end(&request.metadata, output.options.life.as_ref(), life::now())? {
        if update.writes_to(attribute) {
            let advice = "leave one of them out";
            return Err(refused(format!(
                "the update writes to `{attribute}`, which the request metadata `ttlInSeconds` sets: {advice}"
            )));
        }
        update.set((life::LIFE_NAME, attribute), (life::LIFE_VALUE, end));
    }
    if let Some(etag) = etag {
        give_version(update, &etag.attribute, Value::S(etag.new.clone()))?;
        if let Some(condition) = etag.condition() {
            update.require(condition);
        }
    }
    Ok(())
}
