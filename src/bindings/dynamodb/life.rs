//! The life of items: when it ends, and whether it has.

use super::calls::{Condition, Item, Placeholders, Value};
use super::options::{LONGEST_LIFE, Life};
use super::shapes::refused;
use crate::domain::{BindingError, Metadata};
use std::time::{SystemTime, UNIX_EPOCH};

/// The placeholder of the attribute in expressions.
pub(super) const LIFE_NAME: &str = "#bd_ttl";
/// The placeholder of its value.
pub(super) const LIFE_VALUE: &str = ":bd_ttl";

/// Now, in whole seconds since 1970, as DynamoDB's TTL counts.
#[expect(
    clippy::disallowed_methods,
    reason = "an item's life is told by the clock on the wall, which only the edge reads"
)]
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The attribute and the second at which the life of an item ends by request metadata `ttlInSeconds`; `None` where the
/// request names none, or names `-1`, which stands for a life without end.
///
/// # Errors
/// When the text is no life, or the component has no attribute for it.
pub(super) fn stated_end<'l>(
    metadata: &Metadata,
    life: Option<&'l Life>,
    now: u64,
) -> Result<Option<(&'l str, Value)>, BindingError> {
    let Some(text) = metadata.get("ttlInSeconds").filter(|text| *text != "-1") else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| (1..=LONGEST_LIFE).contains(seconds)).ok_or_else(|| {
        refused(format!(
            "the request metadata `ttlInSeconds` must be whole seconds from 1 to {LONGEST_LIFE}, or -1 for no end"
        ))
    })?;
    let Some(life) = life else {
        let advice = "name the table's TTL attribute in the component's `ttlAttributeName`";
        return Err(refused(format!("`ttlInSeconds` cannot be kept: {advice}")));
    };
    Ok(Some((&life.attribute, end(now, seconds))))
}

/// Gives an item the end of its life: the request's own, else what the item says itself, else the component's.
///
/// # Errors
/// As [`stated_end`].
pub(super) fn limit_life(
    item: &mut Item,
    metadata: &Metadata,
    life: Option<&Life>,
    now: u64,
) -> Result<(), BindingError> {
    if let Some((attribute, end)) = stated_end(metadata, life, now)? {
        item.insert(attribute.to_owned(), end);
        return Ok(());
    }
    let is_endless = metadata.get("ttlInSeconds").is_some();
    if let Some((life, seconds)) = life.and_then(|life| Some((life, life.seconds?)))
        && !is_endless
    {
        item.entry(life.attribute.clone()).or_insert_with(|| end(now, seconds));
    }
    Ok(())
}

/// Whether the life of an item is over. DynamoDB regards only numbers, and so do we.
pub(super) fn is_over(item: &Item, attribute: &str, now: u64) -> bool {
    let Some(Value::N(digits)) = item.get(attribute) else { return false };
    // A float holds every second of the next ten million years exactly.
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let now = now as f64;
    digits.parse::<f64>().is_ok_and(|end| end <= now)
}

/// The same as a condition on the stored item: a value that is missing or no number is never below one.
pub(super) fn over(attribute: &str, now: u64) -> Condition {
    let placeholders = Placeholders::default().name(LIFE_NAME, attribute).value(LIFE_VALUE, Value::N(now.to_string()));
    Condition { text: format!("{LIFE_NAME} <= {LIFE_VALUE}"), placeholders }
}

fn end(now: u64, seconds: u64) -> Value {
    Value::N(now.saturating_add(seconds).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::options::Expired;
    use super::*;

    fn life(seconds: Option<u64>) -> Life {
        Life { attribute: "ends".to_owned(), seconds, expired: Expired::Hidden }
    }

    fn asked(text: &str) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.insert("ttlInSeconds", text);
        metadata
    }

    fn ends(item: &str, metadata: &Metadata, life: &Life) -> Option<String> {
        let mut item = super::super::calls::item_from_json(item.as_bytes()).unwrap();
        limit_life(&mut item, metadata, Some(life), 1_000).unwrap();
        item.remove("ends").and_then(|value| value.as_n().ok().cloned())
    }

    #[test]
    fn the_request_outranks_the_item_and_the_item_the_component() {
        let (plain, own) = (r#"{"id":1}"#, r#"{"id":1,"ends":7}"#);
        let none = Metadata::default();
        for (item, metadata, component, end) in [
            (plain, &none, life(None), None),
            (plain, &none, life(Some(60)), Some("1060")),
            (own, &none, life(Some(60)), Some("7")),
            (own, &asked("5"), life(Some(60)), Some("1005")),
            (plain, &asked("-1"), life(Some(60)), None),
        ] {
            assert_eq!(ends(item, metadata, &component).as_deref(), end);
        }
    }

    #[test]
    fn a_life_that_cannot_be_kept_is_refused() {
        for bad in ["0", "-2", "soon", "1.5", "99999999999"] {
            assert!(stated_end(&asked(bad), Some(&life(None)), 0).is_err(), "{bad}");
        }
        assert!(stated_end(&asked("5"), None, 0).unwrap_err().message().contains("ttlAttributeName"));
    }

    #[test]
    fn an_item_is_over_at_its_last_second_and_only_numbers_count() {
        for (text, over) in [
            (r#"{"ends":99}"#, true),
            (r#"{"ends":100}"#, true),
            (r#"{"ends":101}"#, false),
            (r#"{"ends":"1"}"#, false),
            ("{}", false),
        ] {
            let item = super::super::calls::item_from_json(text.as_bytes()).unwrap();
            assert_eq!(is_over(&item, "ends", 100), over, "{text}");
        }
    }
}
