//! `delete`: removes one item.

use super::calls::{Delete, Returned};
use super::etag::Etag;
use super::keys;
use super::output::Output;
use super::request::Request;
use super::shapes::{read_delete, refused};
use super::writes::{Attempted, Proof, repeat};
use crate::domain::{BindingError, InvokeResponse};

const RETURNED: [(&str, Returned); 2] = [("NONE", Returned::Nothing), ("ALL_OLD", Returned::AllOld)];

/// Removes an item; none there is success too, unless a condition says otherwise. Request metadata: `etag`,
/// `returnValues`, `returnValuesOnConditionCheckFailure`, and a condition as for `create` where `data` has none.
///
/// # Errors
/// When the request is wrong, or as DynamoDB answered.
pub(super) async fn run(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let (delete, attempted) = prepared(output, &request).inspect_err(|_| output.refused(1))?;
    let (returned, on_refusal) = (attempted.returned, attempted.asked_on_refusal());
    let attempt = || output.items.delete(delete.clone(), returned, on_refusal, request.deadline);
    attempted.run(output, &request, attempt).await
}

fn prepared(output: &Output, request: &Request) -> Result<(Delete, Attempted), BindingError> {
    let mut delete = read_delete(&request.spelling, &request.data)?;
    keys::check_key(output.keys.known(), &delete.key)?;
    let returned = request.returned(&RETURNED)?;
    let stated = request.condition()?;
    if stated.is_some() && delete.condition.is_some() {
        return Err(refused("the condition is given twice: in `data` and in the request's metadata"));
    }
    let stated = delete.condition.take().or(stated);
    let etag = Etag::read(&request.metadata, output.options.etag_attribute.as_deref())?;
    delete.condition = match etag.as_ref().and_then(Etag::condition) {
        Some(version) => Some(version.and(stated)),
        None => stated,
    };
    let is_protected = etag.as_ref().is_some_and(Etag::protects);
    let otherwise = request.repeat_ambiguous(output.options.repeat_ambiguous);
    let attempted = Attempted {
        operation: "DeleteItem",
        repeat: repeat(delete.condition.is_some(), false, returned, etag.as_ref(), otherwise),
        proof: if is_protected { Proof::Absence } else { Proof::Nothing },
        returned,
        on_refusal: request.on_refusal()?,
    };
    Ok((delete, attempted))
}
