//! `query` and `list`: pages of items (`Query`, `Scan`).

use super::super::context::TableContext;
use super::super::failure::invalid_request;
use super::super::options::Ttl;
use super::super::request::Request;
use super::super::request_data::{RawPlaceholders, parse};
use super::super::response::{capacity_header, json_body};
use super::super::ttl;
use super::page_token::{QueryDigest, decode_key, encode_key};
use super::paging::{Bounds, Gathered, PageCall, ReadKind, Selection, gather};
use super::projection::Projection;
use crate::aws::Item;
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Idempotency;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const QUERY_FORM: &str = r##"{"keyCondition":"#id = :id","names":{…},"values":{…},"index"?,"filter"?,"projection"?,"limit"?,"forward"?,"consistentRead"?,"nextToken"?}"##;
const LIST_FORM: &str = r#"{"index"?,"filter"?,"names"?,"values"?,"projection"?,"limit"?,"segment"?:{"number":0,"of":4},"consistentRead"?,"nextToken"?}"#;
/// Segments of a parallel scan (AWS, `Scan.TotalSegments`).
const MAX_SEGMENTS: i32 = 1_000_000;

/// `data` of both operations; each refuses the fields that only the other has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ReadRequest<'t> {
    key_condition: Option<String>,
    index: Option<String>,
    filter: Option<String>,
    #[serde(borrow)]
    projection: Option<&'t RawValue>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
    #[serde(borrow)]
    values: Option<&'t RawValue>,
    limit: Option<u32>,
    forward: Option<bool>,
    segment: Option<Segment>,
    consistent_read: Option<bool>,
    next_token: Option<String>,
}

/// One part of a table that several readers share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    number: i32,
    of: i32,
}

/// Reads the items of one partition, in the order of the sort key.
///
/// # Errors
/// When the request is wrong, or as DynamoDB returned.
pub(in super::super) async fn query(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let mut data: ReadRequest<'_> = parse(&request.data, QUERY_FORM)?;
    if data.segment.is_some() {
        return Err(invalid_request(format!("`segment` is for `list` only: send {QUERY_FORM}")));
    }
    let key_condition = data.key_condition.take().unwrap_or_default();
    if key_condition.trim().is_empty() {
        return Err(invalid_request(format!("`keyCondition` is empty or missing: send {QUERY_FORM}")));
    }
    let kind = ReadKind::Query { key_condition, is_forward: data.forward.unwrap_or(true) };
    read_page(cx, &request, kind, data).await
}

/// Reads all items of the table or index, or one segment of them.
pub(in super::super) async fn list(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let is_empty = request.data.is_empty() || &request.data[..] == b"null";
    let text: &[u8] = if is_empty { b"{}" } else { &request.data };
    let mut data: ReadRequest<'_> = parse(text, LIST_FORM)?;
    if data.key_condition.is_some() || data.forward.is_some() {
        return Err(invalid_request(format!("`keyCondition` and `forward` are for `query` only: send {LIST_FORM}")));
    }
    let segment = data.segment.take().map(|segment| {
        let is_valid = (1..=MAX_SEGMENTS).contains(&segment.of) && (0..segment.of).contains(&segment.number);
        let invalid =
            || invalid_request("`segment` must be such as {\"number\":0,\"of\":4}: a number from 0, below `of`");
        is_valid.then_some((segment.number, segment.of)).ok_or_else(invalid)
    });
    let kind = ReadKind::Scan { segment: segment.transpose()? };
    read_page(cx, &request, kind, data).await
}

async fn read_page(
    cx: &TableContext,
    request: &Request,
    kind: ReadKind,
    data: ReadRequest<'_>,
) -> Result<InvokeResponse, BindingError> {
    let options = &cx.options;
    if data.limit == Some(0) {
        return Err(invalid_request("`limit` must be at least 1"));
    }
    let items = data.limit.map_or(options.max_page_items, |limit| limit.min(options.max_page_items));
    let bounds = Bounds { items, bytes: options.max_response_size };
    let placeholders = RawPlaceholders { names: data.names, values: data.values }.parse(&request.codec)?;
    let projection = Projection::parse(data.projection, placeholders, &[])?;
    // The component's `consistentRead` is for the table: global indexes refuse it. A request's own goes to DynamoDB.
    let component = options.consistent_read && data.index.is_none();
    let mut selection = Selection {
        consistent_read: request.consistent_read(data.consistent_read, component),
        index: data.index,
        filter: data.filter.filter(|filter| !filter.trim().is_empty()),
        projection: projection.text,
        placeholders: projection.placeholders,
        kind,
    };
    let digest = QueryDigest::of_selection(&cx.table, &selection)?;
    let start = data.next_token.filter(|token| !token.is_empty());
    let start = start.map(|token| decode_key(digest, &token)).transpose()?;
    if let Some(ttl) = options.hidden_by_ttl() {
        hide_expired(&mut selection, ttl, ttl::now());
    }
    let page = PageCall::new(cx, selection);
    let read = |start: Option<Item>, limit| {
        let page = &page;
        async move {
            let attempt = || page.send(cx, request.deadline, start.clone(), limit);
            cx.read(request.call(page.operation(), Idempotency::Idempotent), attempt).await
        }
    };
    let gathered = gather(bounds, start, read, |item| request.item_json(item)).await?;
    respond(digest, gathered)
}

/// Leaves out expired items with the filter, so that DynamoDB does not send them.
fn hide_expired(selection: &mut Selection, ttl: &Ttl, now: u64) {
    let expired = ttl::expired_condition(&ttl.attribute, now);
    selection.filter = Some(match selection.filter.take() {
        Some(filter) => format!("({filter}) AND NOT ({})", expired.text),
        None => format!("NOT ({})", expired.text),
    });
    selection.placeholders.extend(expired.placeholders);
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageResponse {
    items: Vec<Box<RawValue>>,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

fn respond(digest: QueryDigest, gathered: Gathered) -> Result<InvokeResponse, BindingError> {
    let next_token = gathered.next.map(|key| encode_key(digest, &key)).transpose()?;
    let page = PageResponse { count: gathered.items.len(), items: gathered.items, next_token };
    let metadata = capacity_header(gathered.capacity).into_iter().collect();
    Ok(InvokeResponse { data: Some(json_body(&page)?), metadata, ..InvokeResponse::default() })
}
