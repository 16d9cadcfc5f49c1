//! Requests and items between the filter and the answer: what there is to write, and what became of it.

use super::super::shaping::LeftOut;
use super::request::RequestOptions;
use super::response::Answer;
use crate::domain::{
    BindingError, FailureKind, InvokeRequest, InvokeResponse, Metadata, NewRecord, Outcome, ReservedMemory,
};
use crate::producer::{OutgoingRecord, Written};

/// A single request after the filter and the transform.
pub(super) enum ShapedRequest {
    /// To be written, with the memory of its data if the transform made them.
    Request(InvokeRequest, ReservedMemory),
    Answered(InvokeResponse),
}

/// An item of a bulk before its records are written.
pub(super) enum Prepared {
    /// The number of its records.
    Records(usize),
    LeftOut(LeftOut),
    Failed(BindingError),
    /// Its data goes to the dead letter binding. Boxed, because it is rare and large.
    DeadLetter(Box<(NewRecord, BindingError)>),
}

/// The records of a bulk, and what they are made with.
pub(super) struct BulkRecords<'r> {
    pub(super) metadata: &'r Metadata,
    pub(super) options: &'r RequestOptions,
    pub(super) records: Vec<OutgoingRecord>,
}

/// The answer of an item after its records were written. `results` and `dead_letters` are those of all items, in
/// their order.
pub(super) fn answer(
    prepared: Prepared,
    results: &mut impl Iterator<Item = Result<Written, BindingError>>,
    dead_letters: &mut impl Iterator<Item = BindingError>,
) -> Result<Answer, BindingError> {
    match prepared {
        Prepared::Records(1) => results.next().unwrap_or_else(no_result).map(Answer::Stored),
        Prepared::Records(count) => several(results.take(count).collect()).map(Answer::Several),
        Prepared::LeftOut(why) => Ok(Answer::LeftOut(why)),
        Prepared::Failed(error) => Err(error),
        Prepared::DeadLetter(letter) => Err(dead_letters.next().unwrap_or(letter.1)),
    }
}

/// All results, or the first failure. If other records were or may be stored, a repetition would store them again.
pub(super) fn several(results: Vec<Result<Written, BindingError>>) -> Result<Vec<Written>, BindingError> {
    let (count, stored) = (results.len(), results.iter().filter(|result| result.is_ok()).count());
    let is_unknown = |result: &Result<Written, BindingError>| {
        result.as_ref().map_or_else(|error| error.outcome() == Outcome::Unknown, |_| true)
    };
    let may_be_stored = results.iter().any(is_unknown);
    results.into_iter().collect::<Result<Vec<Written>, BindingError>>().map_err(|error| {
        let error = one_of_several(error, count, stored);
        if may_be_stored { error.with_outcome(Outcome::Unknown) } else { error }
    })
}

/// The failure of one of the records that a transform made of one: so many, of which some were stored.
pub(super) fn one_of_several(error: BindingError, count: usize, stored: usize) -> BindingError {
    error.with_detail("records", count.to_string()).with_detail("stored", stored.to_string())
}

/// Never used, because the producer returns one result for each record.
fn no_result() -> Result<Written, BindingError> {
    Err(BindingError::new(FailureKind::Transient, "the record has no result").with_outcome(Outcome::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_several_records_says_how_many_were_stored() {
        let failed = || Err::<Written, _>(BindingError::new(FailureKind::Throttled, "no"));
        let error = several(vec![failed(), failed()]).unwrap_err();
        assert_eq!((error.outcome(), error.kind()), (Outcome::NotDone, FailureKind::Throttled));
        assert!(error.details().iter().any(|(key, value)| *key == "stored" && value == "0"), "{error:?}");
        let lost = several(vec![failed(), failed().map_err(|error| error.with_outcome(Outcome::Unknown))]).unwrap_err();
        assert_eq!(lost.outcome(), Outcome::Unknown, "the second may be stored");
        assert_eq!(several(Vec::new()).unwrap().len(), 0);
    }
}
