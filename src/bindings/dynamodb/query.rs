//! `query` and `list`: pages of items.

use super::calls::{Consistency, Direction, Item, Selection, Walk};
use super::life;
use super::options::Life;
use super::output::Output;
use super::paging::{Bounds, Gathered, gather};
use super::projection::Projection;
use super::request::Request;
use super::shapes::{Behind, read_shape, refused};
use super::token::{QueryMark, read_token, write_token};
use super::writes::{body, capacity_header};
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Idempotency;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const QUERY_FORM: &str = r##"{"keyCondition":"#id = :id","names":{…},"values":{…},"index"?,"filter"?,"projection"?,"limit"?,"forward"?,"consistentRead"?,"nextToken"?}"##;
const LIST_FORM: &str = r#"{"index"?,"filter"?,"names"?,"values"?,"projection"?,"limit"?,"segment"?:{"number":0,"of":4},"consistentRead"?,"nextToken"?}"#;
/// The most segments of a parallel scan (AWS, `Scan.TotalSegments`).
const MOST_SEGMENTS: i32 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct QueryShape<'t> {
    key_condition: String,
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
    consistent_read: Option<bool>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListShape<'t> {
    index: Option<String>,
    filter: Option<String>,
    #[serde(borrow)]
    projection: Option<&'t RawValue>,
    #[serde(borrow)]
    names: Option<&'t RawValue>,
    #[serde(borrow)]
    values: Option<&'t RawValue>,
    limit: Option<u32>,
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

/// What `query` and `list` have in common.
struct Shape<'t> {
    walk: Walk,
    index: Option<String>,
    filter: Option<String>,
    projection: Option<&'t RawValue>,
    behind: Behind<'t>,
    limit: Option<u32>,
    consistent_read: Option<bool>,
    next_token: Option<String>,
}

/// Reads the items of one partition, in the order of the sort key.
///
/// # Errors
/// When the request is wrong, or as DynamoDB answered.
pub(super) async fn query(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let shape: QueryShape<'_> = read_shape(&request.data, QUERY_FORM)?;
    if shape.key_condition.trim().is_empty() {
        return Err(refused(format!("`keyCondition` is empty: send {QUERY_FORM}")));
    }
    let direction = if shape.forward.unwrap_or(true) { Direction::Forward } else { Direction::Backward };
    let shape = Shape {
        walk: Walk::Query { key_condition: shape.key_condition, direction },
        index: shape.index,
        filter: shape.filter,
        projection: shape.projection,
        behind: Behind { names: shape.names, values: shape.values },
        limit: shape.limit,
        consistent_read: shape.consistent_read,
        next_token: shape.next_token,
    };
    read_page(output, &request, "Query", shape).await
}

/// Reads all items of the table or index, or one segment of them.
///
/// # Errors
/// As [`query`].
pub(super) async fn list(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let empty = request.data.is_empty() || &request.data[..] == b"null";
    let data: &[u8] = if empty { b"{}" } else { &request.data };
    let shape: ListShape<'_> = read_shape(data, LIST_FORM)?;
    let segment = shape.segment.map(|segment| {
        let is_one = (1..=MOST_SEGMENTS).contains(&segment.of) && (0..segment.of).contains(&segment.number);
        let refusal = || refused("`segment` must be such as {\"number\":0,\"of\":4}: a number from 0, below `of`");
        is_one.then_some((segment.number, segment.of)).ok_or_else(refusal)
    });
    let shape = Shape {
        walk: Walk::Scan { segment: segment.transpose()? },
        index: shape.index,
        filter: shape.filter,
        projection: shape.projection,
        behind: Behind { names: shape.names, values: shape.values },
        limit: shape.limit,
        consistent_read: shape.consistent_read,
        next_token: shape.next_token,
    };
    read_page(output, &request, "Scan", shape).await
}

async fn read_page(
    output: &Output,
    request: &Request,
    operation: &'static str,
    shape: Shape<'_>,
) -> Result<InvokeResponse, BindingError> {
    let options = &output.options;
    if shape.limit == Some(0) {
        return Err(refused("`limit` must be at least 1"));
    }
    let items = shape.limit.map_or(options.max_page_items, |limit| limit.min(options.max_page_items));
    let bounds = Bounds { items, bytes: options.max_response_size };
    let next_token = shape.next_token.clone();
    let mut selection = selection(request, shape, options.consistency)?;
    let mark = QueryMark::of(output.items.table(), &selection)?;
    let start = next_token.filter(|token| !token.is_empty()).map(|token| read_token(mark, &token)).transpose()?;
    if let Some(life) = options.hidden() {
        hide_expired(&mut selection, life, life::now());
    }
    let read = |start: Option<Item>, limit| {
        let selection = &selection;
        async move {
            let attempt = || output.items.page(selection.clone(), start.clone(), limit, request.deadline);
            let spent = output.attempts.run(request.call(operation, Idempotency::Idempotent), attempt).await?;
            Ok(spent.value)
        }
    };
    let gathered = gather(bounds, start, read, |item| request.written(item)).await?;
    answer(mark, gathered)
}

fn selection(request: &Request, shape: Shape<'_>, component: Consistency) -> Result<Selection, BindingError> {
    let mut placeholders = shape.behind.read(&request.spelling)?;
    let projection = Projection::read(shape.projection, &placeholders, &[])?;
    placeholders.extend(projection.placeholders);
    Ok(Selection {
        consistency: consistency(request, shape.consistent_read, shape.index.as_deref(), component),
        index: shape.index,
        filter: shape.filter.filter(|filter| !filter.trim().is_empty()),
        projection: projection.text,
        placeholders,
        walk: shape.walk,
    })
}

/// A component's `consistentRead` is for the table: most indexes do not know it. Who asks for it on an index by the
/// request itself gets what DynamoDB says.
fn consistency(request: &Request, in_data: Option<bool>, index: Option<&str>, component: Consistency) -> Consistency {
    let component = if index.is_some() { Consistency::Eventual } else { component };
    request.consistency(in_data, component)
}

/// Leaves out items whose life is over, by the filter, so that the service does not send them.
fn hide_expired(selection: &mut Selection, life: &Life, now: u64) {
    let over = life::over(&life.attribute, now);
    selection.filter = Some(match selection.filter.take() {
        Some(filter) => format!("({filter}) AND NOT ({})", over.text),
        None => format!("NOT ({})", over.text),
    });
    selection.placeholders.extend(over.placeholders);
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    items: Vec<Box<RawValue>>,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

fn answer(mark: QueryMark, gathered: Gathered) -> Result<InvokeResponse, BindingError> {
    let next_token = gathered.next.map(|key| write_token(mark, &key)).transpose()?;
    let answer = Answer { count: gathered.items.len(), items: gathered.items, next_token };
    let metadata = capacity_header(gathered.capacity).into_iter().collect();
    Ok(InvokeResponse { data: Some(body(&answer)?), metadata, ..InvokeResponse::default() })
}
