//! The elements of a bulk request and their results.

use super::super::super::codec::ItemFault;
use super::super::super::context::TableContext;
use super::super::super::failure::{in_element, invalid_request, too_large};
use super::super::super::request::Request;
use super::super::super::response::Element;
use super::super::super::table_key::check_key;
use super::engine::BulkOptions;
use super::schedule::CallLimits;
use crate::aws::Item;
use crate::domain::BindingError;
use serde_json::value::RawValue;
use tokio::time::Instant;

/// AWS takes 16 MB in one batch call; the rest is left for the request around the entries.
pub(super) const MAX_CALL_SIZE: usize = 16 * 1024 * 1024 - 16 * 1024;

/// The results of a bulk, in the order of the request; `None` until an element has one.
pub(super) type Results = Vec<Option<Result<Element, BindingError>>>;

/// An element to send, or the result that it has without being sent.
pub(super) type Prepared<T> = Result<T, Result<Element, BindingError>>;

/// The elements to send with their indexes in the request; the others have their result already.
pub(super) fn split_valid<T>(elements: Vec<Prepared<T>>) -> (Vec<usize>, Vec<T>, Results) {
    let (mut indexes, mut valid, mut results) = (Vec::new(), Vec::new(), Vec::with_capacity(elements.len()));
    for (index, element) in elements.into_iter().enumerate() {
        match element {
            Ok(element) => {
                indexes.push(index);
                valid.push(element);
                results.push(None);
            }
            Err(result) => results.push(Some(result)),
        }
    }
    (indexes, valid, results)
}

/// The keys of `keys`, each checked.
pub(super) fn parse_keys(cx: &TableContext, request: &Request, keys: &[&RawValue]) -> Vec<Result<Item, BindingError>> {
    let parse = |(index, text): (usize, &&RawValue)| {
        let key = request.codec.item(text.get().as_bytes()).map_err(|fault| fault_at(fault, "keys", index))?;
        check_key(cx.keys.known(), &key).map_err(|error| in_element("keys", index, &error))?;
        match key.len() {
            1 | 2 => Ok(key),
            count => Err(invalid_request(format!("`keys[{index}]` has {count} attributes: a key has one or two"))),
        }
    };
    keys.iter().enumerate().map(parse).collect()
}

/// Puts an element's place before the place within it.
pub(super) fn fault_at(mut fault: ItemFault, member: &str, index: usize) -> BindingError {
    let within = fault.path.strip_prefix('$').unwrap_or(&fault.path);
    fault.path = format!("$.{member}[{index}]{within}");
    fault.into()
}

pub(super) fn check_count(cx: &TableContext, member: &str, count: usize) -> Result<(), BindingError> {
    let max = cx.options.max_bulk_items;
    if count == 0 {
        return Err(invalid_request(format!("`{member}` is empty: there is nothing to do")));
    }
    if count > max {
        let text = format!("`{member}` has {count} elements, the limit is {max} (`maxBulkItems`): send several bulks");
        return Err(too_large(text, count, max));
    }
    Ok(())
}

pub(super) fn bulk_options(cx: &TableContext, request: &Request, limits: CallLimits) -> BulkOptions {
    BulkOptions {
        limits,
        deadline: request.deadline,
        started: Instant::now(),
        retry: cx.options.retry.policy,
        seed: fastrand::u64(..),
        metrics: cx.runner.metrics.clone(),
    }
}
