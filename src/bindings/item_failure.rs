//! A failed item in the response to a bulk request; the same for all kinds.

use crate::domain::{BindingError, DEAD_LETTERED, Outcome};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `{"id"?,"index","error","errorCode","reason","status","ambiguous"?,"deadLettered"?,"details"?}`
#[derive(Debug)]
pub(super) struct ItemFailure<'a> {
    /// The item's `id`, as it was written.
    pub(super) id: Option<&'a RawValue>,
    /// Its index in the request, from 0.
    pub(super) index: usize,
    pub(super) error: &'a BindingError,
}

impl Serialize for ItemFailure<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (error, kind) = (self.error, self.error.kind());
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = self.id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry("index", &self.index)?;
        map.serialize_entry("error", error.message())?;
        map.serialize_entry("errorCode", "ERR_INVOKE_OUTPUT_BINDING")?;
        map.serialize_entry("reason", error.reason().unwrap_or_else(|| kind.reason()))?;
        map.serialize_entry("status", &kind.status())?;
        match error.outcome() {
            Outcome::Unknown => map.serialize_entry("ambiguous", &true)?,
            Outcome::NotDone => {}
        }
        if error.is_dead_lettered() {
            map.serialize_entry(DEAD_LETTERED, &true)?;
        }
        let details = error.details().iter().filter(|(key, _)| *key != DEAD_LETTERED);
        let details: BTreeMap<&str, &str> = details.map(|(key, text)| (*key, text.as_str())).collect();
        if !details.is_empty() {
            map.serialize_entry("details", &details)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FailureKind;

    #[test]
    fn a_failed_item_has_every_detail_of_its_error() {
        let id = RawValue::from_string("1.50".to_owned()).unwrap();
        let error = BindingError::new(FailureKind::TimedOut, "late").with_outcome(Outcome::Unknown);
        let error = error.with_detail("shardId", "shardId-7").with_detail(DEAD_LETTERED, "true");
        assert_eq!(
            serde_json::to_string(&ItemFailure { id: Some(&id), index: 3, error: &error }).unwrap(),
            concat!(
                r#"{"id":1.50,"index":3,"error":"late","errorCode":"ERR_INVOKE_OUTPUT_BINDING","reason":"DEADLINE","#,
                r#""status":504,"ambiguous":true,"deadLettered":true,"details":{"shardId":"shardId-7"}}"#,
            )
        );
    }
}
