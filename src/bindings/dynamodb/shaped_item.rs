//! Filters and transforms an item before it is stored: an item in, an item out.

use super::super::shaping::{LeftOut, ShapedData, Shaper};
use super::failure::invalid_request;
use crate::domain::{BindingError, Metadata};
use bytes::Bytes;

/// What there is to store.
#[derive(Debug)]
pub(super) enum ShapedItem {
    /// The item of the request.
    Unchanged,
    /// The JSON text of another item.
    Item(Bytes),
    LeftOut(LeftOut),
}

/// Filters and transforms the JSON text of an item.
///
/// # Errors
/// When the transform fails, and when it makes several items: conditions, versions and returned values of a request are
/// about one.
pub(super) async fn shape(shaper: &Shaper, data: &Bytes, metadata: &Metadata) -> Result<ShapedItem, BindingError> {
    match shaper.shape(data, None, metadata).await.map_err(|failure| failure.error)? {
        ShapedData::Unchanged => Ok(ShapedItem::Unchanged),
        ShapedData::One(data) => Ok(ShapedItem::Item(data)),
        ShapedData::LeftOut(why) => Ok(ShapedItem::LeftOut(why)),
        ShapedData::Several(items) => Err(several(items.len())),
    }
}

pub(super) fn several(count: usize) -> BindingError {
    invalid_request(format!(
        "`transform` made {count} items of one: a DynamoDB component stores one item for each, so let it give one output"
    ))
}
