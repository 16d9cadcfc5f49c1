//! The answer to a request about many items: an array in the order of the request.

use super::super::item_failure::ItemFailure;
use super::calls::Item;
use super::life;
use super::options::Life;
use super::projection::Projection;
use super::request::{Request, unwritable};
use super::writes::capacity_header;
use crate::domain::{BindingError, Extent, FailureKind, InvokeResponse, Outcome};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// What a caller hears of an item that went well.
#[derive(Debug)]
pub(super) enum Element {
    /// It was written: `{"status":204}`.
    Done,
    /// It was read.
    Item(Box<RawValue>),
    /// There is none: `null`.
    Absent,
}

#[derive(Serialize)]
struct Written {
    status: u16,
}

/// The answer to a bulk; an item that nobody answered is a defect of ours and says so.
///
/// # Errors
/// When the answer cannot be written as JSON, which no answer is known to do.
pub(super) fn respond(
    answers: Vec<Option<Result<Element, BindingError>>>,
    capacity: Option<f64>,
) -> Result<InvokeResponse, BindingError> {
    let count = answers.len();
    let mut failed = 0;
    let mut texts = Vec::with_capacity(count);
    for (index, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap_or_else(|| Err(unanswered()));
        failed += usize::from(answer.is_err());
        texts.push(text_of(index, answer).map_err(unwritable)?);
    }
    let data = serde_json::to_vec(&texts).map_err(unwritable)?;
    let succeeded = count - failed;
    let mut metadata = vec![("succeeded", succeeded.to_string()), ("failed", failed.to_string())];
    metadata.extend(capacity_header(capacity));
    let extent = if failed == 0 { Extent::Whole } else { Extent::Mixed };
    Ok(InvokeResponse { data: Some(Bytes::from(data)), metadata, extent })
}

fn text_of(index: usize, answer: Result<Element, BindingError>) -> serde_json::Result<Box<RawValue>> {
    match answer {
        Ok(Element::Done) => serde_json::value::to_raw_value(&Written { status: 204 }),
        Ok(Element::Item(text)) => Ok(text),
        Ok(Element::Absent) => serde_json::value::to_raw_value(&()),
        Err(error) => serde_json::value::to_raw_value(&ItemFailure { id: None, index, error: &error }),
    }
}

/// An item as callers see it; one whose life is over is not there, where the component hides those.
///
/// # Errors
/// When it cannot be written as JSON, which no item is known to do.
pub(super) fn shown(
    request: &Request,
    hidden: Option<&Life>,
    projection: &Projection,
    mut item: Item,
) -> Result<Element, BindingError> {
    if hidden.is_some_and(|life| life::is_over(&item, &life.attribute, life::now())) {
        return Ok(Element::Absent);
    }
    projection.trim(&mut item);
    request.written(&item).map(Element::Item)
}

fn unanswered() -> BindingError {
    let text = "an answer was lost inside the sidecar, which is a defect of ours";
    BindingError::new(FailureKind::Permanent, text).with_outcome(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stand_in_the_order_of_the_request() {
        let item = RawValue::from_string(r#"{"id":"1","n":1.50}"#.to_owned()).unwrap();
        let throttled = BindingError::new(FailureKind::Throttled, "slow").with_reason("THROTTLED");
        let lost = BindingError::new(FailureKind::TimedOut, "late").with_outcome(Outcome::Unknown);
        let lost = lost.with_detail("requestId", "r-1");
        let answers = vec![
            Some(Ok(Element::Done)),
            Some(Err(throttled)),
            Some(Ok(Element::Item(item))),
            Some(Ok(Element::Absent)),
            Some(Err(lost)),
        ];
        let answer = respond(answers, Some(2.5)).unwrap();
        let expected = concat!(
            r#"[{"status":204},{"index":1,"error":"slow","errorCode":"ERR_INVOKE_OUTPUT_BINDING","reason":"THROTTLED","status":429},"#,
            r#"{"id":"1","n":1.50},null,"#,
            r#"{"index":4,"error":"late","errorCode":"ERR_INVOKE_OUTPUT_BINDING","reason":"DEADLINE","status":504,"#,
            r#""ambiguous":true,"details":{"requestId":"r-1"}}]"#,
        );
        assert_eq!(std::str::from_utf8(answer.data.as_ref().unwrap()).unwrap(), expected);
        let facts: Vec<_> = answer.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(facts, ["succeeded=3", "failed=2", "consumedCapacity=2.5"]);
        assert_eq!(answer.extent, Extent::Mixed);
    }

    #[test]
    fn a_bulk_that_went_well_is_whole() {
        let answer = respond(vec![Some(Ok(Element::Done))], None).unwrap();
        assert_eq!((answer.extent, answer.metadata.len()), (Extent::Whole, 2));
    }
}
