//! Optimistic concurrency: each write stores a new version in an attribute, and may require the old one.

use super::expression::{Condition, Placeholders};
use super::failure::invalid_request;
use super::options::Ttl;
use super::ttl;
use super::update_expression::Update;
use crate::aws::Item;
use crate::domain::{BindingError, Metadata};
use aws_sdk_dynamodb::types::AttributeValue;

/// The placeholder of the attribute in expressions.
const ETAG_NAME: &str = "#bd_etag";
/// The placeholder of the new version.
pub(super) const ETAG_VALUE: &str = ":bd_etag_new";
/// The placeholder of the expected version.
const ETAG_EXPECTED: &str = ":bd_etag";

/// Which version a write expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// Any, or none.
    Any,
    /// This one (request metadata `etag`).
    Version(String),
    /// None yet (request metadata `concurrency: first-write`, as in Dapr's state API).
    None,
}

/// The versions of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Etag {
    /// `etagAttributeName`
    pub(super) attribute: String,
    /// The version before the write.
    pub(super) expected: Expected,
    /// The version after the write; random, so that finding it proves this very write.
    pub(super) new: String,
}

impl Etag {
    /// The versions of a request; `None` where the component has no attribute for them.
    ///
    /// # Errors
    /// When the request expects a version and the component has no attribute for versions.
    pub(super) fn read(metadata: &Metadata, attribute: Option<&str>) -> Result<Option<Self>, BindingError> {
        let is_first_write = match metadata.get("concurrency") {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("last-write") => false,
            Some(word) if word.eq_ignore_ascii_case("first-write") => true,
            Some(_) => {
                return Err(invalid_request("the request metadata `concurrency` must be first-write or last-write"));
            }
        };
        let expected = match (metadata.get("etag"), is_first_write) {
            // As in Dapr: with an etag, `first-write` means that this version must still be there.
            (Some(version), _) => Expected::Version(version.to_owned()),
            (None, true) => Expected::None,
            (None, false) => Expected::Any,
        };
        let Some(attribute) = attribute else {
            let advice = "name the attribute that holds versions in the component's `etagAttributeName`";
            return match expected {
                Expected::Any => Ok(None),
                Expected::Version(_) | Expected::None => {
                    Err(invalid_request(format!("the component has no etags: {advice}")))
                }
            };
        };
        let new = uuid::Uuid::new_v4().simple().to_string();
        Ok(Some(Self { attribute: attribute.to_owned(), expected, new }))
    }

    /// The condition on the stored version.
    pub(super) fn condition(&self) -> Option<Condition> {
        let names = Placeholders::default().with_name(ETAG_NAME, &self.attribute);
        let (text, placeholders) = match &self.expected {
            Expected::Any => return None,
            Expected::None => (format!("attribute_not_exists({ETAG_NAME})"), names),
            Expected::Version(version) => {
                let value = AttributeValue::S(version.clone());
                (format!("{ETAG_NAME} = {ETAG_EXPECTED}"), names.with_value(ETAG_EXPECTED, value))
            }
        };
        Some(Condition { text, placeholders })
    }

    /// Like [`Etag::condition`], for a write that replaces the whole item. A first write may replace an expired item if
    /// those are hidden: for callers it does not exist.
    pub(super) fn condition_of_create(&self, hidden: Option<&Ttl>, now: u64) -> Option<Condition> {
        let condition = self.condition()?;
        Some(match (&self.expected, hidden) {
            (Expected::None, Some(ttl)) => condition.or(ttl::expired_condition(&ttl.attribute, now)),
            (Expected::Any | Expected::Version(_) | Expected::None, _) => condition,
        })
    }

    /// Whether this write stored the item.
    pub(super) fn is_new_version(&self, item: &Item) -> bool {
        version_of(item, &self.attribute).is_some_and(|version| version == self.new)
    }

    /// Whether sending the write again does no harm: its condition fails once the write was done.
    pub(super) const fn is_idempotent(&self) -> bool {
        matches!(self.expected, Expected::Version(_))
    }
}

/// Makes an update write a new version.
///
/// # Errors
/// When the update writes to the attribute too: DynamoDB accepts each attribute once.
pub(super) fn set_version(update: &mut Update, attribute: &str, version: AttributeValue) -> Result<(), BindingError> {
    if update.writes_to(attribute) {
        return Err(invalid_request(format!(
            "the update writes to `{attribute}`, the component's `etagAttributeName`, which every write sets \
             automatically: leave it out"
        )));
    }
    update.set((ETAG_NAME, attribute), (ETAG_VALUE, version));
    Ok(())
}

/// The version in an item.
pub(super) fn version_of<'i>(item: &'i Item, attribute: &str) -> Option<&'i str> {
    item.get(attribute)?.as_s().ok().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::update_expression::Repetition;
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_first_write_may_replace_an_expired_item() {
        let read = |pairs| Etag::read(&metadata(pairs), Some("v")).unwrap().unwrap();
        let ttl = Ttl { attribute: "ends".to_owned(), default_seconds: None, hide_expired: true };
        let first = read(&[("concurrency", "first-write")]);
        let condition = first.condition_of_create(Some(&ttl), 7).unwrap();
        assert_eq!(condition.text, "(attribute_not_exists(#bd_etag)) OR (#bd_ttl <= :bd_ttl)");
        assert_eq!(condition.placeholders.values[ttl::TTL_VALUE], AttributeValue::N("7".to_owned()));
        assert_eq!(first.condition_of_create(None, 7), first.condition());
        let second = read(&[("etag", "o")]);
        assert_eq!(second.condition_of_create(Some(&ttl), 7), second.condition());
        assert_eq!(read(&[]).condition_of_create(Some(&ttl), 7), None);
    }

    #[test]
    fn an_update_of_the_version_is_refused_before_the_call() {
        let update = |change: &str| {
            let placeholders = Placeholders::default().with_name("#w", "v");
            Update {
                key: Item::new(),
                expression: change.to_owned(),
                condition: None,
                placeholders,
                repetition: Repetition::Harmless,
            }
        };
        for change in ["SET v = :a", "SET a = v REMOVE #w", "ADD v.n :one"] {
            let error = set_version(&mut update(change), "v", AttributeValue::S("n".to_owned())).unwrap_err();
            assert!(
                error.message().contains("writes to `v`, the component's `etagAttributeName`"),
                "{change}: {error}"
            );
        }
        let mut other = update("SET a = v");
        set_version(&mut other, "v", AttributeValue::S("n".to_owned())).unwrap();
        assert_eq!(other.expression, "SET #bd_etag = :bd_etag_new, a = v");
    }

    #[test]
    fn a_request_names_the_version_it_expects() {
        let read = |pairs| Etag::read(&metadata(pairs), Some("v")).unwrap().unwrap();
        assert_eq!(read(&[]).condition(), None);
        let first = read(&[("concurrency", "first-write")]);
        assert_eq!(first.condition().unwrap().text, "attribute_not_exists(#bd_etag)");
        let next = read(&[("concurrency", "first-write"), ("etag", "7")]);
        assert_eq!(next.condition().unwrap().text, "#bd_etag = :bd_etag");
        assert!(next.is_idempotent() && !first.is_idempotent() && first.new != next.new);
    }

    #[test]
    fn versions_need_an_attribute() {
        assert_eq!(Etag::read(&metadata(&[]), None).unwrap(), None);
        for pair in [("etag", "7"), ("concurrency", "first-write"), ("concurrency", "sometimes")] {
            assert!(Etag::read(&metadata(&[pair]), None).is_err(), "{pair:?}");
        }
    }
}
