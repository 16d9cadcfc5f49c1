//! The version of an item, kept in an attribute: a condition on the old one, a new one with each write.

use super::calls::{Condition, Item, Placeholders, Update, Value};
use super::life;
use super::options::Life;
use super::shapes::refused;
use crate::domain::{BindingError, Metadata};

/// The placeholder of the attribute in expressions.
const ETAG_NAME: &str = "#bd_etag";
/// The placeholder of the new version.
pub(super) const ETAG_VALUE: &str = ":bd_etag_new";
const ETAG_EXPECTED: &str = ":bd_etag";

/// Which version a write expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// Any, and none.
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
    /// What is there before.
    pub(super) expected: Expected,
    /// What is there afterwards; random, so that finding it proves this very write.
    pub(super) new: String,
}

impl Etag {
    /// The versions of a request; `None` where the component keeps none.
    ///
    /// # Errors
    /// When the request asks for a version and the component keeps none, or asks for both a version and none.
    pub(super) fn read(metadata: &Metadata, attribute: Option<&str>) -> Result<Option<Self>, BindingError> {
        let is_first = match metadata.get("concurrency") {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("last-write") => false,
            Some(word) if word.eq_ignore_ascii_case("first-write") => true,
            Some(_) => return Err(refused("the request metadata `concurrency` must be first-write or last-write")),
        };
        let expected = match (metadata.get("etag"), is_first) {
            // As in Dapr: a version is what the first writer after it must name.
            (Some(version), _) => Expected::Version(version.to_owned()),
            (None, true) => Expected::None,
            (None, false) => Expected::Any,
        };
        let Some(attribute) = attribute else {
            let advice = "name the attribute that holds versions in the component's `etagAttributeName`";
            return match expected {
                Expected::Any => Ok(None),
                Expected::Version(_) | Expected::None => Err(refused(format!("there are no etags here: {advice}"))),
            };
        };
        let new = uuid::Uuid::new_v4().simple().to_string();
        Ok(Some(Self { attribute: attribute.to_owned(), expected, new }))
    }

    /// The condition on what is there before.
    pub(super) fn condition(&self) -> Option<Condition> {
        let names = Placeholders::default().name(ETAG_NAME, &self.attribute);
        let (text, placeholders) = match &self.expected {
            Expected::Any => return None,
            Expected::None => (format!("attribute_not_exists({ETAG_NAME})"), names),
            Expected::Version(version) => {
                let value = Value::S(version.clone());
                (format!("{ETAG_NAME} = {ETAG_EXPECTED}"), names.value(ETAG_EXPECTED, value))
            }
        };
        Some(Condition { text, placeholders })
    }

    /// As [`Etag::condition`], for a write that replaces the whole item. The first writer may replace an item whose life is
    /// over, where such items are hidden: to its callers it is not there.
    pub(super) fn condition_of_create(&self, hidden: Option<&Life>, now: u64) -> Option<Condition> {
        let condition = self.condition()?;
        let over = hidden.map(|life| life::over(&life.attribute, now));
        Some(match (&self.expected, over) {
            (Expected::None, Some(over)) => condition.or(over),
            (Expected::Any | Expected::Version(_) | Expected::None, _) => condition,
        })
    }

    /// Whether this item is what the write left.
    pub(super) fn is_ours(&self, item: &Item) -> bool {
        version_of(item, &self.attribute).is_some_and(|version| version == self.new)
    }

    /// Whether sending the write again can do no harm: its condition fails once it has been carried out.
    pub(super) const fn protects(&self) -> bool {
        matches!(self.expected, Expected::Version(_))
    }
}

/// Lets an update write a new version.
///
/// # Errors
/// When the update writes to the attribute itself: DynamoDB takes no attribute twice.
pub(super) fn give_version(update: &mut Update, attribute: &str, version: Value) -> Result<(), BindingError> {
    if update.writes_to(attribute) {
        return Err(refused(format!(
            "the update writes to `{attribute}`, the component's `etagAttributeName`, which every write here sets by \
             itself: leave it out"
        )));
    }
    update.set((ETAG_NAME, attribute), (ETAG_VALUE, version));
    Ok(())
}

/// The version in an item.
pub(super) fn version_of<'i>(item: &'i Item, attribute: &str) -> Option<&'i str> {
    match item.get(attribute)? {
        Value::S(version) => Some(version),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::Effect;
    use super::super::options::Expired;
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_first_writer_may_replace_what_nobody_sees_any_more() {
        let read = |pairs| Etag::read(&metadata(pairs), Some("v")).unwrap().unwrap();
        let life = Life { attribute: "ends".to_owned(), seconds: None, expired: Expired::Hidden };
        let first = read(&[("concurrency", "first-write")]);
        let condition = first.condition_of_create(Some(&life), 7).unwrap();
        assert_eq!(condition.text, "(attribute_not_exists(#bd_etag)) OR (#bd_ttl <= :bd_ttl)");
        assert_eq!(condition.placeholders.values[life::LIFE_VALUE], Value::N("7".to_owned()));
        assert_eq!(first.condition_of_create(None, 7), first.condition());
        let second = read(&[("etag", "o")]);
        assert_eq!(second.condition_of_create(Some(&life), 7), second.condition());
        assert_eq!(read(&[]).condition_of_create(Some(&life), 7), None);
    }

    #[test]
    fn an_update_of_the_version_is_refused_before_the_call() {
        let update = |change: &str| {
            let placeholders = Placeholders::default().name("#w", "v");
            Update { key: Item::new(), change: change.to_owned(), condition: None, placeholders, effect: Effect::Fixed }
        };
        for change in ["SET v = :a", "SET a = v REMOVE #w", "ADD v.n :one"] {
            let error = give_version(&mut update(change), "v", Value::S("n".to_owned())).unwrap_err();
            assert!(
                error.message().contains("writes to `v`, the component's `etagAttributeName`"),
                "{change}: {error}"
            );
        }
        let mut other = update("SET a = v");
        give_version(&mut other, "v", Value::S("n".to_owned())).unwrap();
        assert_eq!(other.change, "SET #bd_etag = :bd_etag_new, a = v");
    }

    #[test]
    fn a_request_names_the_version_it_expects() {
        let read = |pairs| Etag::read(&metadata(pairs), Some("v")).unwrap().unwrap();
        assert_eq!(read(&[]).condition(), None);
        let first = read(&[("concurrency", "first-write")]);
        assert_eq!(first.condition().unwrap().text, "attribute_not_exists(#bd_etag)");
        let next = read(&[("concurrency", "first-write"), ("etag", "7")]);
        assert_eq!(next.condition().unwrap().text, "#bd_etag = :bd_etag");
        assert!(next.protects() && !first.protects() && first.new != next.new);
    }

    #[test]
    fn versions_need_an_attribute() {
        assert_eq!(Etag::read(&metadata(&[]), None).unwrap(), None);
        for asked in [("etag", "7"), ("concurrency", "first-write"), ("concurrency", "sometimes")] {
            assert!(Etag::read(&metadata(&[asked]), None).is_err(), "{asked:?}");
        }
    }
}
