//! `get`: reads one item.

use super::calls::{Consistency, Get, Item};
use super::etag::version_of;
use super::keys;
use super::life;
use super::output::Output;
use super::projection::Projection;
use super::request::Request;
use super::shapes::{Behind, read_key, read_shape};
use super::writes::capacity_header;
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Idempotency;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

const FORM: &str = r#"{"key":{…},"projection"?:["…"],"consistentRead"?:true,"names"?:{…}}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Shape<'t> {
    #[serde(borrow)]
    key: &'t RawValue,
    #[serde(borrow)]
    projection: Option<&'t RawValue>,
    consistent_read: Option<bool>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
}

/// Reads an item: 200 with the item, 204 where there is none or its life is over. Its version is in the header
/// `metadata.etag`.
///
/// # Errors
/// When the request is wrong, or as DynamoDB answered.
pub(super) async fn run(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let options = &output.options;
    let hidden = options.hidden();
    let needed: Vec<&str> =
        hidden.map(|life| life.attribute.as_str()).into_iter().chain(options.etag_attribute.as_deref()).collect();
    let (get, projection) = read(&request, options.consistency, &needed)?;
    keys::check_key(output.keys.known(), &get.key)?;
    let attempt = || output.items.get(get.clone(), request.deadline);
    let spent = output.attempts.run(request.call("GetItem", Idempotency::Idempotent), attempt).await?;
    let found = spent.value;
    let mut response = InvokeResponse::default();
    response.metadata.extend(capacity_header(found.capacity));
    let is_shown = |item: &Item| hidden.is_none_or(|life| !life::is_over(item, &life.attribute, life::now()));
    let Some(mut item) = found.item.filter(is_shown) else { return Ok(response) };
    let version = options.etag_attribute.as_deref().and_then(|attribute| version_of(&item, attribute));
    response.metadata.extend(version.map(|version| ("etag", version.to_owned())));
    projection.trim(&mut item);
    let item = request.written(&item)?;
    response.data = Some(Bytes::from(Box::<str>::from(item).into_boxed_bytes()));
    Ok(response)
}

fn read(request: &Request, default: Consistency, needed: &[&str]) -> Result<(Get, Projection), BindingError> {
    let shape: Shape<'_> = read_shape(&request.data, FORM)?;
    let key = read_key(&request.spelling, shape.key)?;
    let mut placeholders = Behind { names: shape.names, values: None }.read(&request.spelling)?;
    let projection = Projection::read(shape.projection, &placeholders, needed)?;
    placeholders.extend(projection.placeholders.clone());
    let consistency = request.consistency(shape.consistent_read, default);
    Ok((Get { key, projection: projection.text.clone(), placeholders, consistency }, projection))
}
