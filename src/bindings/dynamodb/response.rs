//! Parts of responses that several operations share.

use super::super::item_failure::ItemFailure;
use super::super::shaping::{LeftOut, counts};
use crate::domain::{BindingError, Completion, FailureKind, InvokeResponse, Outcome};
use aws_sdk_dynamodb::types::ConsumedCapacity;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A JSON body.
///
/// # Errors
/// When the JSON library refuses, which strings and checked texts do not cause.
pub(super) fn json_body(value: &impl Serialize) -> Result<Bytes, BindingError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(not_serializable)
}

pub(super) fn not_serializable(error: serde_json::Error) -> BindingError {
    BindingError::new(FailureKind::Permanent, "the response cannot be written as JSON").with_source(error)
}

/// The capacity units of all tables and indexes together; `None` where DynamoDB reported none.
pub(super) fn capacity_units<'c>(consumed: impl IntoIterator<Item = &'c ConsumedCapacity>) -> Option<f64> {
    consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).reduce(|sum, units| sum + units)
}

/// The header with the capacity units that a call consumed.
pub(super) fn capacity_header(units: Option<f64>) -> Option<(Cow<'static, str>, String)> {
    units.map(|units| ("consumedCapacity".into(), units.to_string()))
}

/// The response about an item that was not stored, although nothing failed.
pub(super) fn left_out(why: LeftOut) -> InvokeResponse {
    InvokeResponse { metadata: vec![(why.as_str().into(), "true".to_owned())], ..InvokeResponse::default() }
}

/// The result of one element of a bulk that succeeded.
#[derive(Debug)]
pub(super) enum Element {
    /// `{"status":204}`
    Written,
    /// The item that was read.
    Item(Box<RawValue>),
    /// `null`
    NotFound,
    /// `{"filtered":true}` or `{"dropped":true}`
    LeftOut(LeftOut),
}

impl Serialize for Element {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Status {
            status: u16,
        }
        match self {
            Self::Written => Status { status: 204 }.serialize(serializer),
            Self::Item(text) => text.serialize(serializer),
            Self::NotFound => serializer.serialize_unit(),
            Self::LeftOut(why) => serializer.collect_map([(why.as_str(), true)]),
        }
    }
}

/// The response to a bulk: an array in the order of the request.
///
/// # Errors
/// When it cannot be written as JSON, which no result is known to cause.
pub(super) fn bulk_response(
    results: Vec<Option<Result<Element, BindingError>>>,
    capacity: Option<f64>,
) -> Result<InvokeResponse, BindingError> {
    let results: Vec<_> = results.into_iter().map(|result| result.unwrap_or_else(|| Err(lost_result()))).collect();
    let failed = results.iter().filter(|result| result.is_err()).count();
    let to_json = |(index, result): (usize, &Result<Element, BindingError>)| match result {
        Ok(element) => serde_json::value::to_raw_value(element),
        Err(error) => serde_json::value::to_raw_value(&ItemFailure { id: None, index, error }),
    };
    let texts = results.iter().enumerate().map(to_json).collect::<Result<Vec<_>, _>>().map_err(not_serializable)?;
    let is_left_out =
        |result: &Result<Element, BindingError>, why| matches!(result, Ok(Element::LeftOut(own)) if *own == why);
    let count = |why| results.iter().filter(|result| is_left_out(result, why)).count();
    let mut metadata = counts(results.len(), failed, LeftOut::ALL.map(count));
    metadata.extend(capacity_header(capacity));
    let completion = if failed == 0 { Completion::Full } else { Completion::Partial };
    Ok(InvokeResponse { data: Some(json_body(&texts)?), metadata, completion, ..InvokeResponse::default() })
}

/// A defect of bindd: an element has no result. The caller must not take it for success.
pub(super) fn lost_result() -> BindingError {
    let text = "a result was lost inside the sidecar, which is a defect of bindd";
    BindingError::new(FailureKind::Permanent, text).with_outcome(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_request() {
        let item = RawValue::from_string(r#"{"id":"1","n":1.50}"#.to_owned()).unwrap();
        let throttled = BindingError::new(FailureKind::Throttled, "slow").with_reason("THROTTLED");
        let lost = BindingError::new(FailureKind::TimedOut, "late").with_outcome(Outcome::Unknown);
        let lost = lost.with_detail("requestId", "r-1");
        let results = vec![
            Some(Ok(Element::Written)),
            Some(Err(throttled)),
            Some(Ok(Element::Item(item))),
            Some(Ok(Element::NotFound)),
            Some(Err(lost)),
        ];
        let response = bulk_response(results, Some(2.5)).unwrap();
        let expected = concat!(
            r#"[{"status":204},{"index":1,"error":"slow","errorCode":"ERR_INVOKE_OUTPUT_BINDING","reason":"THROTTLED","status":429},"#,
            r#"{"id":"1","n":1.50},null,"#,
            r#"{"index":4,"error":"late","errorCode":"ERR_INVOKE_OUTPUT_BINDING","reason":"DEADLINE","status":504,"#,
            r#""ambiguous":true,"details":{"requestId":"r-1"}}]"#,
        );
        assert_eq!(std::str::from_utf8(response.data.as_ref().unwrap()).unwrap(), expected);
        let headers: Vec<_> = response.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(headers, ["succeeded=3", "failed=2", "consumedCapacity=2.5"]);
        assert_eq!(response.completion, Completion::Partial);
    }

    #[test]
    fn a_bulk_without_failures_is_complete() {
        let response = bulk_response(vec![Some(Ok(Element::Written))], None).unwrap();
        assert_eq!((response.completion, response.metadata.len()), (Completion::Full, 2));
    }
}
