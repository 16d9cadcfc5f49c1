//! Compares what callers were told with what is in the stream.

use super::callers::{Told, number};
use bindd::testing::KeptRecord;
use std::collections::BTreeMap;

/// Where each record is: its places in the stream.
pub(crate) fn places(stored: &[KeptRecord]) -> BTreeMap<usize, Vec<(String, String)>> {
    let mut places: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for record in stored {
        places.entry(number(&record.data)).or_default().push((record.shard.clone(), record.sequence.clone()));
    }
    places
}

/// Every untrue answer, in words.
pub(crate) fn untruths(told: &[Told], places: &BTreeMap<usize, Vec<(String, String)>>) -> Vec<String> {
    let nowhere = Vec::new();
    told.iter().filter_map(|one| untruth(one, places.get(&one.number).unwrap_or(&nowhere))).collect()
}

fn untruth(told: &Told, places: &[(String, String)]) -> Option<String> {
    let number = told.number;
    let Some(status) = told.status else {
        let is_stored = !places.is_empty();
        return is_stored.then(|| format!("{number}: stored, but its caller was never answered"));
    };
    if told.is_ok() {
        let (Some(shard), Some(sequence)) = (&told.shard, &told.sequence) else {
            return Some(format!("{number}: success without a sequence number"));
        };
        if !places.contains(&(shard.clone(), sequence.clone())) {
            return Some(format!("{number}: said to be {sequence} in {shard}, but is at {places:?}"));
        }
        let is_told = told.attempts > 1;
        return (places.len() > 1 && !is_told).then(|| format!("{number}: twice in the stream, told as one attempt"));
    }
    let is_stored = !places.is_empty() && !told.is_ambiguous;
    is_stored.then(|| format!("{number}: answered {status} for certain, but is stored: {}", told.body))
}

/// Fails unless every answer is true, and every record of the crowd was answered.
pub(crate) fn assert_true(told: &[Told], sent: usize, stored: &[KeptRecord]) {
    let untruths = untruths(told, &places(stored));
    assert!(untruths.is_empty(), "{} untrue answers:\n{}", untruths.len(), untruths.join("\n"));
    let answered = told.iter().filter(|one| one.status.is_some()).count();
    assert_eq!(answered, sent, "answers lost");
}

/// How often each status was given.
pub(crate) fn statuses(told: &[Told]) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for one in told {
        *statuses.entry(one.status.map_or(0, |status| status.as_u16())).or_default() += 1;
    }
    statuses
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::time::Duration;

    fn told(status: u16) -> Told {
        Told {
            number: 1,
            status: StatusCode::from_u16(status).ok(),
            sequence: (status == 204).then(|| "7".to_owned()),
            shard: (status == 204).then(|| "a".to_owned()),
            attempts: 1,
            is_ambiguous: false,
            retry_after: None,
            body: String::new(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn untruths_are_seen() {
        let at = |numbers: &[&str]| -> Vec<_> { numbers.iter().map(|n| ("a".to_owned(), (*n).to_owned())).collect() };
        for (what, told, places, is_untrue) in [
            ("well told", told(204), at(&["7"]), false),
            ("said ok, absent", told(204), at(&[]), true),
            ("said ok, elsewhere", told(204), at(&["8"]), true),
            ("doubled in silence", told(204), at(&["7", "8"]), true),
            ("doubled and told", Told { attempts: 2, ..told(204) }, at(&["7", "8"]), false),
            ("failed and absent", told(502), at(&[]), false),
            ("said failed, stored", told(502), at(&["7"]), true),
            ("unknown, stored", Told { is_ambiguous: true, ..told(502) }, at(&["7"]), false),
            ("never answered, stored", told(0), at(&["7"]), true),
            ("never answered, absent", told(0), at(&[]), false),
        ] {
            assert_eq!(untruth(&told, &places).is_some(), is_untrue, "{what}");
        }
    }
}
