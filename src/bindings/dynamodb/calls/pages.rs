//! Query and Scan: one page by one call.

use super::items::{Consistency, Items, units};
use super::refusal::refused;
use super::{Item, Placeholders};
use crate::domain::BindingError;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// What of a table or index is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The index; the table itself without one.
    pub index: Option<String>,
    /// The filter expression.
    pub filter: Option<String>,
    /// The projection expression.
    pub projection: Option<String>,
    /// What the placeholders of all expressions stand for.
    pub placeholders: Placeholders,
    /// How fresh the items are; global indexes know only `Eventual`.
    pub consistency: Consistency,
    /// By key, or everything.
    pub walk: Walk,
}

/// How items are found.
#[derive(Debug, Clone, PartialEq)]
pub enum Walk {
    /// By the key condition expression, in this direction of the sort key.
    Query {
        /// The key condition.
        key_condition: String,
        /// The direction.
        direction: Direction,
    },
    /// All, or one of `count` segments.
    Scan {
        /// Segment and count of segments.
        segment: Option<(i32, i32)>,
    },
}

/// The order of a query's items by their sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Ascending.
    #[default]
    Forward,
    /// Descending.
    Backward,
}

/// One page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The items that passed the filter.
    pub items: Vec<Item>,
    /// How many items were looked at.
    pub scanned: u32,
    /// Where the next page begins; `None` at the end.
    pub last_key: Option<Item>,
    /// Capacity units, where they were asked for.
    pub capacity: Option<f64>,
}

/// Sends a query or scan with what both have in common: the SDK's builders share names, but no trait.
macro_rules! read_page {
    ($items:ident, $operation:literal, $request:ident, $selection:ident, ($start:ident, $limit:ident)) => {{
        let sent = $request
            .set_index_name($selection.index)
            .set_filter_expression($selection.filter)
            .set_projection_expression($selection.projection)
            .set_expression_attribute_names($selection.placeholders.names())
            .set_expression_attribute_values($selection.placeholders.values())
            .consistent_read($selection.consistency == Consistency::Strong)
            .set_exclusive_start_key($start)
            .limit($limit)
            .set_return_consumed_capacity($items.report())
            .send()
            .await;
        let answer = sent.map_err(|error| refused($operation, &$items.table, error).error)?;
        Ok(Page {
            scanned: u32::try_from(answer.scanned_count).unwrap_or_default(),
            capacity: units(answer.consumed_capacity.as_ref()),
            items: answer.items.unwrap_or_default(),
            last_key: answer.last_evaluated_key.filter(|key| !key.is_empty()),
        })
    }};
}

impl Items {
    /// Reads one page of at most `limit` looked-at items and 1 MB, from `start` on.
    ///
    /// # Errors
    /// As [`Items::get`].
    pub fn page(
        &self,
        selection: Selection,
        start: Option<Item>,
        limit: u32,
        until: Instant,
    ) -> BoxFuture<'_, Result<Page, BindingError>> {
        Box::pin(async move {
            let _place = self.place(until).await?;
            let limit = i32::try_from(limit).unwrap_or(i32::MAX);
            match selection.walk {
                Walk::Query { key_condition, direction } => {
                    let request = self.client.query().table_name(&self.table).key_condition_expression(key_condition);
                    let request = request.scan_index_forward(direction == Direction::Forward);
                    read_page!(self, "DynamoDB: Query", request, selection, (start, limit))
                }
                Walk::Scan { segment } => {
                    let (number, count) = segment.unzip();
                    let request = self.client.scan().table_name(&self.table);
                    let request = request.set_segment(number).set_total_segments(count);
                    read_page!(self, "DynamoDB: Scan", request, selection, (start, limit))
                }
            }
        })
    }
}
