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

/// Filters and transforms the JSON text of an item. Several outputs are a failure of the transform: conditions, versions and
/// returned values of a request are about one item.
///
/// # Errors
/// When the transform fails, and the component does not say to go on.
pub(super) async fn shape(shaper: &Shaper, data: &Bytes, metadata: &Metadata) -> Result<ShapedItem, BindingError> {
    match shaper.shape_item(data, metadata).await.map_err(|failure| failure.error)? {
        ShapedData::Unchanged => Ok(ShapedItem::Unchanged),
        ShapedData::One(data, memory) => Ok(ShapedItem::Item(memory.hold(data))),
        ShapedData::LeftOut(why) => Ok(ShapedItem::LeftOut(why)),
        // Not from `shape_item`.
        ShapedData::Several(..) => Err(invalid_request("`transform` made several items of one")),
    }
}
