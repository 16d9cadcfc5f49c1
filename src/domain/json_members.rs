//! Objects in JSON, member by member.

use super::JsonText;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The members of a JSON object in the order of the text, including those of the same name.
#[derive(Debug)]
pub struct JsonMembers<'a>(pub Vec<(JsonText<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for JsonMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = JsonMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(JsonMembers(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_their_text_and_their_repetitions() {
        let JsonMembers(members) = serde_json::from_str(r#"{"b": 1.50, "a": [ 1 ], "\u0062": null}"#).unwrap();
        let shown: Vec<_> = members.iter().map(|(name, value)| (&*name.0, value.get())).collect();
        assert_eq!(shown, [("b", "1.50"), ("a", "[ 1 ]"), ("b", "null")]);
        assert!(serde_json::from_str::<JsonMembers<'_>>("[]").is_err());
    }
}
