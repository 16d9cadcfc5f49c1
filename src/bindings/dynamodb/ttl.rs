//! When items expire, and whether they have.

use super::expression::{Condition, Placeholders};
use super::failure::invalid_request;
use super::options::{MAX_TTL_SECONDS, Ttl};
use crate::aws::Item;
use crate::domain::{BindingError, Metadata};
use aws_sdk_dynamodb::types::AttributeValue;
use std::time::{SystemTime, UNIX_EPOCH};

/// The placeholder of the attribute in expressions.
pub(super) const TTL_NAME: &str = "#bd_ttl";
/// The placeholder of its value.
pub(super) const TTL_VALUE: &str = ":bd_ttl";

/// Now, in whole seconds since 1970, as DynamoDB's TTL counts.
#[expect(clippy::disallowed_methods, reason = "DynamoDB's TTL compares with the wall clock")]
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The TTL attribute and its value by the request metadata `ttlInSeconds`; `None` where the request has none, or has
/// `-1`, which means no expiry.
///
/// # Errors
/// When the text is not a valid TTL, or the component has no attribute for it.
pub(super) fn requested_expiry<'t>(
    metadata: &Metadata,
    ttl: Option<&'t Ttl>,
    now: u64,
) -> Result<Option<(&'t str, AttributeValue)>, BindingError> {
    let Some(text) = metadata.get("ttlInSeconds").filter(|text| *text != "-1") else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_TTL_SECONDS).contains(seconds)).ok_or_else(|| {
        let range = format!("whole seconds from 1 to {MAX_TTL_SECONDS}, or -1 for no expiry");
        invalid_request(format!("the request metadata `ttlInSeconds` must be {range}"))
    })?;
    let Some(ttl) = ttl else {
        let advice = "name the table's TTL attribute in the component's `ttlAttributeName`";
        return Err(invalid_request(format!("`ttlInSeconds` needs an attribute: {advice}")));
    };
    Ok(Some((&ttl.attribute, expiry(now, seconds))))
}

/// Sets the TTL attribute of an item: by the request, else as the item has it, else by the component.
pub(super) fn set_expiry(
    item: &mut Item,
    metadata: &Metadata,
    ttl: Option<&Ttl>,
    now: u64,
) -> Result<(), BindingError> {
    if let Some((attribute, expiry)) = requested_expiry(metadata, ttl, now)? {
        item.insert(attribute.to_owned(), expiry);
        return Ok(());
    }
    let is_given = metadata.get("ttlInSeconds").is_some();
    if let Some((ttl, seconds)) = ttl.and_then(|ttl| Some((ttl, ttl.default_seconds?)))
        && !is_given
    {
        item.entry(ttl.attribute.clone()).or_insert_with(|| expiry(now, seconds));
    }
    Ok(())
}

/// Whether an item has expired. DynamoDB regards only numbers, and so do we.
pub(super) fn is_expired(item: &Item, attribute: &str, now: u64) -> bool {
    let Some(AttributeValue::N(digits)) = item.get(attribute) else { return false };
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let now = now as f64;
    digits.parse::<f64>().is_ok_and(|expiry| expiry <= now)
}

/// Whether callers see an item; `hidden` is set if expired ones are hidden.
pub(super) fn is_visible(item: &Item, hidden: Option<&Ttl>) -> bool {
    hidden.is_none_or(|ttl| !is_expired(item, &ttl.attribute, now()))
}

/// [`is_expired`] as a condition on the stored item: a missing value, or one that is not a number, does not satisfy it.
pub(super) fn expired_condition(attribute: &str, now: u64) -> Condition {
    let placeholders = Placeholders::default()
        .with_name(TTL_NAME, attribute)
        .with_value(TTL_VALUE, AttributeValue::N(now.to_string()));
    Condition { text: format!("{TTL_NAME} <= {TTL_VALUE}"), placeholders }
}

fn expiry(now: u64, seconds: u64) -> AttributeValue {
    AttributeValue::N(now.saturating_add(seconds).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::codec::item_from_json;
    use super::*;

    fn ttl(default_seconds: Option<u64>) -> Ttl {
        Ttl { attribute: "ends".to_owned(), default_seconds, hide_expired: true }
    }

    fn requested(text: &str) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.insert("ttlInSeconds", text);
        metadata
    }

    fn ends(item: &str, metadata: &Metadata, ttl: &Ttl) -> Option<String> {
        let mut item = item_from_json(item.as_bytes()).unwrap();
        set_expiry(&mut item, metadata, Some(ttl), 1_000).unwrap();
        item.remove("ends").and_then(|value| value.as_n().ok().cloned())
    }

    #[test]
    fn the_request_outranks_the_item_and_the_item_the_component() {
        let (plain, own) = (r#"{"id":1}"#, r#"{"id":1,"ends":7}"#);
        let none = Metadata::default();
        for (item, metadata, component, end) in [
            (plain, &none, ttl(None), None),
            (plain, &none, ttl(Some(60)), Some("1060")),
            (own, &none, ttl(Some(60)), Some("7")),
            (own, &requested("5"), ttl(Some(60)), Some("1005")),
            (plain, &requested("-1"), ttl(Some(60)), None),
        ] {
            assert_eq!(ends(item, metadata, &component).as_deref(), end);
        }
    }

    #[test]
    fn an_invalid_ttl_is_refused() {
        for bad in ["0", "-2", "soon", "1.5", "99999999999"] {
            assert!(requested_expiry(&requested(bad), Some(&ttl(None)), 0).is_err(), "{bad}");
        }
        assert!(requested_expiry(&requested("5"), None, 0).unwrap_err().message().contains("ttlAttributeName"));
    }

    #[test]
    fn an_item_expires_at_its_last_second_and_only_numbers_count() {
        for (text, expired) in [
            (r#"{"ends":99}"#, true),
            (r#"{"ends":100}"#, true),
            (r#"{"ends":101}"#, false),
            (r#"{"ends":"1"}"#, false),
            ("{}", false),
        ] {
            let item = item_from_json(text.as_bytes()).unwrap();
            assert_eq!(is_expired(&item, "ends", 100), expired, "{text}");
        }
    }
}
