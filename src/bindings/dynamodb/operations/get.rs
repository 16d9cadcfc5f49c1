//! `get`: reads one item (`GetItem`).

use super::super::context::TableContext;
use super::super::etag::version_of;
use super::super::request::Request;
use super::super::request_data::{RawPlaceholders, parse, parse_key};
use super::super::response::{capacity_header, capacity_units};
use super::super::{table_key, ttl};
use super::projection::Projection;
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Idempotency;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

const FORM: &str = r#"{"key":{…},"projection"?:["…"],"consistentRead"?:true,"names"?:{…}}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GetRequest<'t> {
    #[serde(borrow)]
    key: &'t RawValue,
    #[serde(borrow)]
    projection: Option<&'t RawValue>,
    consistent_read: Option<bool>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
}

/// Reads an item: 200 with the item, 204 where it does not exist or has expired. Its version is in the header
/// `metadata.etag`.
///
/// # Errors
/// When the request is wrong, or as DynamoDB returned.
pub(in super::super) async fn get(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let options = &cx.options;
    let hidden = options.hidden_by_ttl();
    let needed: Vec<&str> =
        hidden.map(|ttl| ttl.attribute.as_str()).into_iter().chain(options.etag_attribute.as_deref()).collect();
    let data: GetRequest<'_> = parse(&request.data, FORM)?;
    let key = parse_key(&request.codec, data.key)?;
    let placeholders = RawPlaceholders { names: data.names, values: None }.parse(&request.codec)?;
    let mut projection = Projection::parse(data.projection, placeholders, &needed)?;
    table_key::check_key(cx.keys.known(), &key)?;
    let get = cx
        .client
        .get_item()
        .table_name(&cx.table)
        .set_key(Some(key))
        .set_projection_expression(projection.text.take())
        .set_expression_attribute_names(projection.take_names())
        .consistent_read(request.consistent_read(data.consistent_read, options.consistent_read))
        .set_return_consumed_capacity(cx.consumed_capacity());
    let attempt = || cx.call("DynamoDB: GetItem", request.deadline, get.clone().send());
    let output = cx.read(request.call("GetItem", Idempotency::Idempotent), attempt).await?;
    let mut response = InvokeResponse::default();
    response.metadata.extend(capacity_header(capacity_units(&output.consumed_capacity)));
    let Some(mut item) = output.item.filter(|item| ttl::is_visible(item, hidden)) else { return Ok(response) };
    let version = options.etag_attribute.as_deref().and_then(|attribute| version_of(&item, attribute));
    response.metadata.extend(version.map(|version| ("etag".into(), version.to_owned())));
    projection.trim(&mut item);
    let json = request.item_json(&item)?;
    response.data = Some(Bytes::from(Box::<str>::from(json).into_boxed_bytes()));
    Ok(response)
}
