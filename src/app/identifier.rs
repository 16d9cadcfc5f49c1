//! The names of events in requests and responses.

use crate::domain::{EventOrigin, RecordPosition};
use serde::{Serialize, Serializer};
use std::fmt;

/// The sequence number; for later records of an aggregate, `<sequence>:<sub-sequence>`, so that it is unique in its shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordId<'e>(pub(super) &'e RecordPosition);

/// `<shard>:<record id>`: unique in its stream, and the same in each delivery. Further events that were made of one record
/// have `#2`, `#3` and so on at the end, so that no receiver takes them for repetitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventId<'e>(pub(super) &'e EventOrigin);

impl fmt::Display for RecordId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.sequence.as_str())?;
        if self.0.sub_sequence > 0 { write!(f, ":{}", self.0.sub_sequence) } else { Ok(()) }
    }
}

impl fmt::Display for EventId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.shard, RecordId(&self.0.position))?;
        if self.0.part > 0 { write!(f, "#{}", u64::from(self.0.part) + 1) } else { Ok(()) }
    }
}

impl Serialize for RecordId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for EventId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Sequence and sub-sequence of an [`EventId`] of this shard, or of a [`RecordId`]. `None` for any other text. The number
/// of the event does not count: a record is accepted or refused as a whole.
pub(super) fn parse<'t>(text: &'t str, shard: &str) -> Option<(&'t str, u64)> {
    let text = match text.split_once('#') {
        Some((text, part)) => number(part).filter(|part| *part > 1).map(|_| text)?,
        None => text,
    };
    let record = text.strip_prefix(shard).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text);
    let (sequence, sub) = match record.split_once(':') {
        Some((sequence, sub)) => (sequence, number(sub)?),
        None => (record, 0),
    };
    is_digits(sequence).then_some((sequence, sub))
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| is_digits(text))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ShardId;
    use proptest::prelude::*;

    fn origin(sequence: u64, sub_sequence: u64) -> EventOrigin {
        EventOrigin {
            shard: ShardId::new("shardId-000000000003"),
            position: RecordPosition { sequence: sequence.to_string().parse().unwrap(), sub_sequence },
            partition_key: String::new(),
            arrival: None,
            is_damaged_aggregate: false,
            part: 0,
        }
    }

    #[test]
    fn only_later_records_of_an_aggregate_have_a_suffix() {
        assert_eq!(EventId(&origin(4959, 0)).to_string(), "shardId-000000000003:4959");
        assert_eq!(EventId(&origin(4959, 12)).to_string(), "shardId-000000000003:4959:12");
        let third = EventOrigin { part: 2, ..origin(4959, 12) };
        assert_eq!(EventId(&third).to_string(), "shardId-000000000003:4959:12#3");
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            ":",
            "4959:",
            ":1",
            "4959:-1",
            "4959:+1",
            "4959:x",
            "shardId-0:4959",
            "4959 ",
            "4959:1:2",
            "4e3",
            "4959#1",
            "4959#",
            "4959#2#3",
        ] {
            assert_eq!(parse(text, "shardId-000000000003"), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn ids_are_read_back(sequence: u64, sub: u64, part: u32) {
            let origin = EventOrigin { part, ..origin(sequence, sub) };
            let expected = Some((origin.position.sequence.as_str(), sub));
            for id in [EventId(&origin).to_string(), RecordId(&origin.position).to_string()] {
                prop_assert_eq!(parse(&id, origin.shard.as_str()), expected);
            }
        }
    }
}
