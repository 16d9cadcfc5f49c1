//! `transactGet`: reads several items in one consistent snapshot (`TransactGetItems`).

use super::super::codec::ItemCodec;
use super::super::context::TableContext;
use super::super::failure::{build_failed, in_element};
use super::super::request::Request;
use super::super::request_data::{RawPlaceholders, parse, parse_key};
use super::super::response::{capacity_header, capacity_units, json_body};
use super::super::{table_key, ttl};
use super::cancellation::{check_count, with_cancellation_reasons};
use super::projection::Projection;
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Idempotency;
use aws_sdk_dynamodb::types::{Get, ItemResponse, TransactGetItem};
use serde::Deserialize;
use serde_json::value::RawValue;

const FORM: &str = r#"{"items":[{"key":{…},"projection"?:["…"],"names"?:{…}},…]}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactGetRequest<'t> {
    #[serde(borrow)]
    items: Vec<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetItem<'t> {
    #[serde(borrow)]
    key: &'t RawValue,
    #[serde(borrow)]
    projection: Option<&'t RawValue>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
}

/// Reads items: an array with the item, or null where it does not exist.
///
/// # Errors
/// When `data` has another form or requests too much; as DynamoDB returned.
pub(in super::super) async fn transact_get(
    cx: &TableContext,
    request: Request,
) -> Result<InvokeResponse, BindingError> {
    let data: TransactGetRequest<'_> = parse(&request.data, FORM)?;
    check_count(data.items.len())?;
    let hidden = cx.options.hidden_by_ttl();
    let needed: Vec<&str> = hidden.map(|ttl| ttl.attribute.as_str()).into_iter().collect();
    let to_get = |(index, text): (usize, &RawValue)| {
        parse_get(cx, &request.codec, text, &needed).map_err(|error| in_element("items", index, &error))
    };
    let (gets, projections): (Vec<_>, Vec<_>) =
        data.items.into_iter().enumerate().map(to_get).collect::<Result<_, _>>()?;
    let call = cx.client.transact_get_items().set_transact_items(Some(gets));
    let call = call.set_return_consumed_capacity(cx.consumed_capacity());
    let attempt = || {
        let sent = cx.call("DynamoDB: TransactGetItems", request.deadline, call.clone().send());
        async move { sent.await.map_err(|failure| with_cancellation_reasons(failure, &ItemCodec::default())) }
    };
    let output = cx.runner.run(request.call("TransactGetItems", Idempotency::Idempotent), attempt).await?.value;
    let metadata = capacity_header(capacity_units(output.consumed_capacity.iter().flatten())).into_iter().collect();
    let to_json = |(response, projection): (ItemResponse, &Projection)| {
        let item = response.item.filter(|item| !item.is_empty() && ttl::is_visible(item, hidden));
        item.map(|mut item| {
            projection.trim(&mut item);
            request.item_json(&item)
        })
        .transpose()
    };
    let responses = output.responses.unwrap_or_default().into_iter().zip(&projections);
    let items = responses.map(to_json).collect::<Result<Vec<_>, _>>()?;
    Ok(InvokeResponse { data: Some(json_body(&items)?), metadata, ..InvokeResponse::default() })
}

fn parse_get(
    cx: &TableContext,
    codec: &ItemCodec,
    text: &RawValue,
    needed: &[&str],
) -> Result<(TransactGetItem, Projection), BindingError> {
    let data: GetItem<'_> = parse(text.get().as_bytes(), FORM)?;
    let key = parse_key(codec, data.key)?;
    let placeholders = RawPlaceholders { names: data.names, values: None }.parse(codec)?;
    let mut projection = Projection::parse(data.projection, placeholders, needed)?;
    table_key::check_key(cx.keys.known(), &key)?;
    let get = Get::builder()
        .table_name(&cx.table)
        .set_key(Some(key))
        .set_projection_expression(projection.text.take())
        .set_expression_attribute_names(projection.take_names())
        .build()
        .map_err(build_failed)?;
    Ok((TransactGetItem::builder().get(get).build(), projection))
}
