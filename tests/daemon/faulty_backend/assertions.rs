//! Compares the responses that callers got with the records in the stream.

use super::callers::{CallerResult, number};
use bindd::testing::BackendRecord;
use std::collections::BTreeMap;

/// Shard and sequence number of each record in the stream; several if it was stored more than once.
pub(crate) fn locations(stored: &[BackendRecord]) -> BTreeMap<usize, Vec<(String, String)>> {
    let mut locations: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for record in stored {
        locations.entry(number(&record.data)).or_default().push((record.shard.clone(), record.sequence.clone()));
    }
    locations
}

/// A message for every response that contradicts the stream.
pub(crate) fn inconsistencies(
    results: &[CallerResult],
    locations: &BTreeMap<usize, Vec<(String, String)>>,
) -> Vec<String> {
    let not_stored = Vec::new();
    results
        .iter()
        .filter_map(|result| inconsistency(result, locations.get(&result.number).unwrap_or(&not_stored)))
        .collect()
}

fn inconsistency(result: &CallerResult, locations: &[(String, String)]) -> Option<String> {
    let number = result.number;
    let Some(status) = result.status else {
        let is_stored = !locations.is_empty();
        return is_stored.then(|| format!("{number}: stored, but its caller got no response"));
    };
    if result.is_ok() {
        let (Some(shard), Some(sequence)) = (&result.shard, &result.sequence) else {
            return Some(format!("{number}: success without a sequence number"));
        };
        if !locations.contains(&(shard.clone(), sequence.clone())) {
            return Some(format!(
                "{number}: the response names {sequence} in {shard}, but the record is at {locations:?}"
            ));
        }
        let is_retried = result.attempts > 1;
        return (locations.len() > 1 && !is_retried)
            .then(|| format!("{number}: stored twice, but the response counts one attempt"));
    }
    let is_stored = !locations.is_empty() && !result.is_ambiguous;
    is_stored.then(|| format!("{number}: {status} without `ambiguous`, but the record is stored: {}", result.body))
}

/// Fails unless every response agrees with the stream, and every record got a response.
pub(crate) fn assert_consistent(results: &[CallerResult], sent: usize, stored: &[BackendRecord]) {
    let inconsistencies = inconsistencies(results, &locations(stored));
    assert!(
        inconsistencies.is_empty(),
        "{} inconsistent responses:\n{}",
        inconsistencies.len(),
        inconsistencies.join("\n")
    );
    let answered = results.iter().filter(|result| result.status.is_some()).count();
    assert_eq!(answered, sent, "responses are missing");
}

/// The number of responses with each status; 0 stands for no response.
pub(crate) fn statuses(results: &[CallerResult]) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for result in results {
        *statuses.entry(result.status.map_or(0, |status| status.as_u16())).or_default() += 1;
    }
    statuses
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::time::Duration;

    fn caller_result(status: u16) -> CallerResult {
        CallerResult {
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
    fn inconsistencies_are_detected() {
        let at = |numbers: &[&str]| -> Vec<_> { numbers.iter().map(|n| ("a".to_owned(), (*n).to_owned())).collect() };
        for (case, result, locations, is_inconsistent) in [
            ("success, stored there", caller_result(204), at(&["7"]), false),
            ("success, not stored", caller_result(204), at(&[]), true),
            ("success, stored elsewhere", caller_result(204), at(&["8"]), true),
            ("stored twice, one attempt", caller_result(204), at(&["7", "8"]), true),
            ("stored twice, two attempts", CallerResult { attempts: 2, ..caller_result(204) }, at(&["7", "8"]), false),
            ("failure, not stored", caller_result(502), at(&[]), false),
            ("failure, stored", caller_result(502), at(&["7"]), true),
            ("ambiguous, stored", CallerResult { is_ambiguous: true, ..caller_result(502) }, at(&["7"]), false),
            ("no response, stored", caller_result(0), at(&["7"]), true),
            ("no response, not stored", caller_result(0), at(&[]), false),
        ] {
            assert_eq!(inconsistency(&result, &locations).is_some(), is_inconsistent, "{case}");
        }
    }
}
