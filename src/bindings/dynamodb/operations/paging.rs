//! Builds the page of a response from DynamoDB's pages: never more items or bytes than allowed, and no item is lost
//! between pages.

use super::super::context::TableContext;
use super::super::expression::Placeholders;
use super::super::failure::{CallFailure, too_large};
use super::super::response::capacity_units;
use crate::aws::Item;
use crate::domain::{BindingError, FailureKind};
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use serde_json::value::RawValue;
use tokio::time::Instant;

/// Calls for one response. A filter that rejects most items may exhaust them: then the page is short and has a token.
const MAX_CALLS: u32 = 10;

/// Which items of a table or index are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selection {
    /// `None` reads the table.
    pub(super) index: Option<String>,
    /// The filter expression.
    pub(super) filter: Option<String>,
    /// The projection expression.
    pub(super) projection: Option<String>,
    /// What the placeholders of all expressions stand for.
    pub(super) placeholders: Placeholders,
    pub(super) consistent_read: bool,
    pub(super) kind: ReadKind,
}

/// How items are found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ReadKind {
    /// By the key condition expression, in ascending order of the sort key if `is_forward`.
    Query { key_condition: String, is_forward: bool },
    /// All, or one of several segments: its number and their count.
    Scan { segment: Option<(i32, i32)> },
}

/// A call for any page of a selection.
pub(super) enum PageCall {
    Query(QueryFluentBuilder),
    Scan(ScanFluentBuilder),
}

/// Sets what query and scan have in common: the SDK's builders share method names, but no trait.
macro_rules! with_selection {
    ($builder:expr, $cx:ident, $selection:ident) => {{
        let (names, values) = $selection.placeholders.into_parts();
        $builder
            .table_name(&$cx.table)
            .set_index_name($selection.index)
            .set_filter_expression($selection.filter)
            .set_projection_expression($selection.projection)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .consistent_read($selection.consistent_read)
            .set_return_consumed_capacity($cx.consumed_capacity())
    }};
}

impl PageCall {
    pub(super) fn new(cx: &TableContext, selection: Selection) -> Self {
        match selection.kind {
            ReadKind::Query { key_condition, is_forward } => {
                let query = cx.client.query().key_condition_expression(key_condition).scan_index_forward(is_forward);
                Self::Query(with_selection!(query, cx, selection))
            }
            ReadKind::Scan { segment } => {
                let (number, count) = segment.unzip();
                let scan = cx.client.scan().set_segment(number).set_total_segments(count);
                Self::Scan(with_selection!(scan, cx, selection))
            }
        }
    }

    pub(super) const fn operation(&self) -> &'static str {
        match self {
            Self::Query(_) => "Query",
            Self::Scan(_) => "Scan",
        }
    }

    /// Reads one page after the key `start`; DynamoDB evaluates at most `limit` items and 1 MB.
    ///
    /// # Errors
    /// As DynamoDB returned.
    pub(super) async fn send(
        &self,
        cx: &TableContext,
        deadline: Instant,
        start: Option<Item>,
        limit: u32,
    ) -> Result<Page, CallFailure> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        match self {
            Self::Query(query) => {
                let sent = query.clone().set_exclusive_start_key(start).limit(limit).send();
                cx.call("DynamoDB: Query", deadline, sent).await.map(Page::from)
            }
            Self::Scan(scan) => {
                let sent = scan.clone().set_exclusive_start_key(start).limit(limit).send();
                cx.call("DynamoDB: Scan", deadline, sent).await.map(Page::from)
            }
        }
    }
}

/// One page of a query or scan.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Page {
    /// The items that passed the filter.
    pub(super) items: Vec<Item>,
    /// How many items DynamoDB evaluated.
    pub(super) scanned: u32,
    /// Where the next page begins; `None` at the end.
    pub(super) last_key: Option<Item>,
    pub(super) capacity: Option<f64>,
}

macro_rules! impl_page {
    ($($output:ident),*) => {
        $(impl From<$output> for Page {
            fn from(output: $output) -> Self {
                Self {
                    scanned: u32::try_from(output.scanned_count).unwrap_or_default(),
                    capacity: capacity_units(&output.consumed_capacity),
                    items: output.items.unwrap_or_default(),
                    last_key: output.last_evaluated_key.filter(|key| !key.is_empty()),
                }
            }
        })*
    };
}

impl_page!(QueryOutput, ScanOutput);

/// Limits of a response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At least 1.
    pub(super) items: u32,
    /// Bytes of the items as JSON.
    pub(super) bytes: usize,
}

/// The items of a response.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) items: Vec<Box<RawValue>>,
    /// Where the next page begins; `None` at the end.
    pub(super) next: Option<Item>,
    pub(super) capacity: Option<f64>,
}

/// Gathers pages until there are enough items, the next page would be too large, or nothing is left. `read` returns the
/// page after a key; its number limits the evaluated items.
///
/// A page that is too large for the response is read again with fewer items, since only DynamoDB can return the key at
/// which the smaller page ends. A temporary failure does not lose the items gathered so far: it ends the page.
///
/// # Errors
/// As `read` failed, when nothing was gathered before; `TooLarge` when a single item exceeds the limit, or ten pages,
/// each with fewer items than the last, all did.
pub(super) async fn gather<F>(
    bounds: Bounds,
    start: Option<Item>,
    mut read: impl FnMut(Option<Item>, u32) -> F,
    to_json: impl Fn(&Item) -> Result<Box<RawValue>, BindingError>,
) -> Result<Gathered, BindingError>
where
    F: Future<Output = Result<Page, BindingError>>,
{
    let mut gathered = Gathered { next: start, ..Gathered::default() };
    let (mut used, mut has_page, mut max_items) = (0, false, bounds.items);
    for _ in 0..MAX_CALLS {
        let missing = bounds.items.saturating_sub(count(&gathered.items));
        let page = match read(gathered.next.clone(), missing.min(max_items)).await {
            Ok(page) => page,
            Err(error) if has_page && error.kind().may_retry() => return Ok(gathered),
            Err(error) => return Err(error),
        };
        gathered.capacity =
            page.capacity.map(|units| units + gathered.capacity.unwrap_or_default()).or(gathered.capacity);
        let items = page.items.iter().map(&to_json).collect::<Result<Vec<_>, _>>()?;
        let size: usize = items.iter().map(|item| item.get().len() + 1).sum();
        if used + size > bounds.bytes {
            if has_page {
                return Ok(gathered);
            }
            max_items = fewer(page.scanned, size, bounds.bytes).ok_or_else(|| item_too_large(size, bounds.bytes))?;
            continue;
        }
        used += size;
        has_page = true;
        gathered.items.extend(items);
        gathered.next = page.last_key;
        if gathered.next.is_none() || count(&gathered.items) >= bounds.items {
            return Ok(gathered);
        }
    }
    if has_page { Ok(gathered) } else { Err(pages_too_large(bounds.bytes)) }
}

/// How many items to evaluate instead, so that their text is likely to fit; `None` when there was only one.
fn fewer(scanned: u32, size: usize, allowed: usize) -> Option<u32> {
    if scanned <= 1 {
        return None;
    }
    let share = u64::from(scanned).saturating_mul(allowed as u64) / (size as u64).max(1);
    // At most half, so that ten calls are enough for any page.
    u32::try_from(share).ok().map(|share| share.clamp(1, scanned / 2))
}

fn item_too_large(size: usize, limit: usize) -> BindingError {
    let text = format!(
        "one item takes {size} bytes as JSON, the response may have {limit}: raise the component's `maxResponseSize`, or \
         request fewer attributes by `projection`"
    );
    too_large(text, size, limit)
}

/// Halving did not reach a single item, which alone could be reported as too large.
fn pages_too_large(limit: usize) -> BindingError {
    let text = format!(
        "{MAX_CALLS} pages in a row exceeded {limit} bytes as JSON: request fewer items by `limit` or fewer attributes by \
         `projection`, or raise the component's `maxResponseSize`"
    );
    BindingError::new(FailureKind::TooLarge, text).with_detail("limit", limit.to_string())
}

fn count(items: &[Box<RawValue>]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "tests/paging.rs"]
mod tests;
