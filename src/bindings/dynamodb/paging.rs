//! From DynamoDB's pages to an answer's page: never more items or bytes than allowed, never an item lost between two.

use super::calls::{Item, Page};
use crate::domain::{BindingError, FailureKind};
use serde_json::value::RawValue;

/// The most calls for one answer. A filter that lets little through gives short pages then, with a token.
const MOST_CALLS: u32 = 10;

/// What an answer may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Items; at least 1.
    pub(super) items: u32,
    /// Bytes of the items as JSON.
    pub(super) bytes: usize,
}

/// The items of an answer.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The items, spelled.
    pub(super) items: Vec<Box<RawValue>>,
    /// Where the next page begins; `None` at the end.
    pub(super) next: Option<Item>,
    /// Capacity units, where they were asked for.
    pub(super) capacity: Option<f64>,
}

/// Gathers pages until there are enough items, the next page would be too large, or nothing is left. `read` gives the
/// page after a key with at most so many looked-at items, `spell` an item's JSON.
///
/// A page that is too large for the answer is read again with fewer items: only DynamoDB can say where that ends. A
/// failure that may pass does not spoil what is there already: it becomes the end of the page.
///
/// # Errors
/// As `read` failed, when nothing was gathered before; `TooLarge` when a single item exceeds the bound, or ten pages,
/// each with fewer items than the last, all did.
pub(super) async fn gather<F>(
    bounds: Bounds,
    start: Option<Item>,
    mut read: impl FnMut(Option<Item>, u32) -> F,
    spell: impl Fn(&Item) -> Result<Box<RawValue>, BindingError>,
) -> Result<Gathered, BindingError>
where
    F: Future<Output = Result<Page, BindingError>>,
{
    let mut gathered = Gathered { next: start, ..Gathered::default() };
    let (mut used, mut is_begun, mut most) = (0, false, bounds.items);
    for _ in 0..MOST_CALLS {
        let missing = bounds.items.saturating_sub(count(&gathered.items));
        let page = match read(gathered.next.clone(), missing.min(most)).await {
            Ok(page) => page,
            Err(error) if is_begun && error.kind().may_retry() => return Ok(gathered),
            Err(error) => return Err(error),
        };
        add(&mut gathered.capacity, page.capacity);
        let spelled = page.items.iter().map(&spell).collect::<Result<Vec<_>, _>>()?;
        let size: usize = spelled.iter().map(|item| item.get().len() + 1).sum();
        if used + size > bounds.bytes {
            if is_begun {
                return Ok(gathered);
            }
            most = fewer(page.scanned, size, bounds.bytes).ok_or_else(|| too_large(size, bounds.bytes))?;
            continue;
        }
        used += size;
        is_begun = true;
        gathered.items.extend(spelled);
        gathered.next = page.last_key;
        if gathered.next.is_none() || count(&gathered.items) >= bounds.items {
            return Ok(gathered);
        }
    }
    if is_begun { Ok(gathered) } else { Err(never_fitted(bounds.bytes)) }
}

/// How many items to look at instead, so that their text is likely to fit; `None` when there was only one.
fn fewer(scanned: u32, size: usize, allowed: usize) -> Option<u32> {
    if scanned <= 1 {
        return None;
    }
    let share = u64::from(scanned).saturating_mul(allowed as u64) / (size as u64).max(1);
    // At most half, so that ten calls are enough for any page.
    u32::try_from(share).ok().map(|share| share.clamp(1, scanned / 2))
}

fn too_large(size: usize, limit: usize) -> BindingError {
    let text = format!(
        "one item takes {size} bytes as JSON, the answer may have {limit}: raise the component's `maxResponseSize`, or \
         ask for fewer attributes by `projection`"
    );
    BindingError::new(FailureKind::TooLarge, text)
        .with_detail("size", size.to_string())
        .with_detail("limit", limit.to_string())
}

/// Halving did not get down to one item, which alone could be called too large.
fn never_fitted(limit: usize) -> BindingError {
    let text = format!(
        "{MOST_CALLS} pages in a row exceeded {limit} bytes as JSON: ask for fewer items by `limit` or fewer attributes \
         by `projection`, or raise the component's `maxResponseSize`"
    );
    BindingError::new(FailureKind::TooLarge, text).with_detail("limit", limit.to_string())
}

fn count(items: &[Box<RawValue>]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

fn add(sum: &mut Option<f64>, units: Option<f64>) {
    if let Some(units) = units {
        *sum = Some(sum.unwrap_or_default() + units);
    }
}

#[cfg(test)]
#[path = "tests/paging.rs"]
mod tests;
