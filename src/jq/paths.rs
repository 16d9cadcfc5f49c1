//! Updating and deleting by a path. Paths are at most as long as values are nested.

use jaq_core::path::Opt;
use jaq_core::{Error as JqError, Exn, ValT, ValX};

use super::budget;
use super::value::Value;

type Update<'a, 'f> = &'f dyn Fn(Value) -> Option<ValX<'a, Value>>;

pub(super) fn update<'a>(value: Value, path: &[Value], f: Update<'a, '_>) -> ValX<'a, Value> {
    budget::charge(1);
    let Some((step, rest)) = path.split_first() else { return f(value).unwrap_or(Ok(Value::Null)) };
    // An update may contain the next one, and so on: all together are limited, because they recurse.
    if !budget::descend() {
        return Err(fault("a path is too long"));
    }
    let updated = match rest {
        [] => value.map_index(step, Opt::Essential, |old| f(old).into_iter()),
        rest => value.map_index(step, Opt::Essential, |inner| std::iter::once(update(inner, rest, f))),
    };
    budget::ascend();
    updated
}

/// Deletes the longest and last paths first, so that no deletion moves what another one means.
pub(super) fn delete<'a>(value: Value, paths: &Value) -> ValX<'a, Value> {
    let Value::Array(paths) = paths else {
        return Err(JqError::str("paths to delete must be an array").into());
    };
    budget::charge_elements(paths.items.len());
    let mut sorted = paths.items.clone();
    sorted.sort();
    sorted.into_iter().rev().try_fold(value, |value, path| match &path {
        Value::Array(path) if path.items.len() <= budget::max_nesting() => delete_one(value, &path.items),
        _ => Err(JqError::str("a path to delete must be an array that is not too long").into()),
    })
}

fn delete_one<'a>(value: Value, path: &[Value]) -> ValX<'a, Value> {
    budget::charge(1);
    let Some((step, rest)) = path.split_first() else { return Ok(Value::Null) };
    // What is not there needs no deletion.
    let is_missing = match (&value, step) {
        (Value::Null, _) => true,
        (Value::Object(object), Value::Text(key)) => !object.members.contains_key(key),
        (Value::Array(array), Value::Number(at)) => {
            super::access::place(at.as_index(), array.items.len()).is_none_or(|place| place >= array.items.len())
        }
        _ => false,
    };
    if is_missing {
        return Ok(value);
    }
    value.map_index(step, Opt::Essential, |inner| {
        if rest.is_empty() { None.into_iter() } else { Some(delete_one(inner, rest)).into_iter() }
    })
}

/// An error with a text.
pub(super) fn fault<'a>(text: &str) -> Exn<'a, Value> {
    JqError::str(text).into()
}
