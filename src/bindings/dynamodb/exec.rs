//! `exec`: a PartiQL statement of the component, by its name. Requests give parameters and never a statement's text.

use super::super::strict_json::shown;
use super::calls::{OnRefusal, Rows, Spelling, Statement, StatementEffect, Value};
use super::life;
use super::output::Output;
use super::request::{Request, unwritable};
use super::shapes::{read_shape, refused};
use super::token::{QueryMark, unwrap_token, wrap_token};
use super::writes::{body, capacity_header};
use crate::domain::{BindingError, FailureKind, InvokeResponse};
use crate::resilience::Idempotency;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const FORM: &str = r#"{"statement":"<name>","parameters"?:[…],"limit"?:10,"consistentRead"?:true,"nextToken"?:"…"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Shape<'t> {
    statement: String,
    #[serde(borrow)]
    parameters: Option<Vec<&'t RawValue>>,
    limit: Option<u32>,
    consistent_read: Option<bool>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    items: Vec<Box<RawValue>>,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
}

/// Executes a named statement. A statement that writes is not sent again once its outcome is unknown, unless
/// `retryAmbiguous` says so. Rows of a `SELECT` whose life is over are left out, where the component hides those and the
/// row holds the attribute that tells.
///
/// # Errors
/// When `data` has another form or names no statement of the component; as DynamoDB answered.
pub(super) async fn run(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let shape: Shape<'_> = read_shape(&request.data, FORM)?;
    let text = find(&output.options.statements, &shape.statement)?;
    let effect = StatementEffect::of(text);
    let (call, hidden) = match effect {
        StatementEffect::Reads => (request.call("ExecuteStatement", Idempotency::Idempotent), output.options.hidden()),
        StatementEffect::Writes => {
            let repeat = request.repeat_ambiguous(output.options.repeat_ambiguous);
            (request.call("ExecuteStatement", repeat).writing(1), None)
        }
    };
    let prepared = statement(output, &request, shape, text);
    let (statement, mark) = prepared.inspect_err(|_| output.refused(call.writes))?;
    let attempt = || async {
        let executed = output.items.execute(statement.clone(), request.deadline).await;
        executed.map_err(|refused| {
            let asked = refused.item.filter(|_| statement.on_refusal == OnRefusal::Item);
            let item = asked.and_then(|item| request.spelling.write(&item).ok());
            item.into_iter().fold(refused.error, |error, item| error.with_detail("item", item.get()))
        })
    };
    let mut rows = output.attempts.run(call, attempt).await?.value;
    let now = life::now();
    rows.items.retain(|row| !hidden.is_some_and(|life| life::is_over(row, &life.attribute, now)));
    rows.next_token = rows.next_token.map(|place| wrap_token(mark, &place));
    respond(&request.spelling, effect, &rows)
}

fn statement(
    output: &Output,
    request: &Request,
    shape: Shape<'_>,
    text: &str,
) -> Result<(Statement, QueryMark), BindingError> {
    if shape.limit == Some(0) {
        return Err(refused("`limit` must be at least 1"));
    }
    let most = output.options.max_page_items;
    let limit = shape.limit.map_or(most, |limit| limit.min(most));
    let mut statement = Statement {
        text: text.to_owned(),
        parameters: read_parameters(&request.spelling, &shape.parameters.unwrap_or_default())?,
        limit: i32::try_from(limit).ok(),
        next_token: None,
        consistency: request.consistency(shape.consistent_read, output.options.consistency),
        on_refusal: request.on_refusal()?,
    };
    let mark = QueryMark::of_statement(output.items.table(), &shape.statement, &statement)?;
    statement.next_token = shape.next_token.map(|token| unwrap_token(mark, &token)).transpose()?;
    Ok((statement, mark))
}

fn find<'s>(statements: &'s BTreeMap<String, String>, name: &str) -> Result<&'s str, BindingError> {
    statements.get(name).map(String::as_str).ok_or_else(|| {
        let known: Vec<&str> = statements.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "it has none, add the metadata field `statements` to the component".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        };
        refused(format!("the component has no statement `{}`: {known}", shown(name)))
    })
}

/// The parameters, read as the members of an object that are called by their places.
fn read_parameters(spelling: &Spelling, texts: &[&RawValue]) -> Result<Vec<Value>, BindingError> {
    let named: BTreeMap<usize, &RawValue> = texts.iter().copied().enumerate().collect();
    let object = serde_json::value::to_raw_value(&named).map_err(unwritable)?;
    let mut members = spelling.item_at(&["parameters"], &object)?;
    let lost =
        || BindingError::new(FailureKind::Permanent, "a parameter was lost inside the sidecar, a defect of ours");
    (0..texts.len()).map(|place| members.remove(&place.to_string()).ok_or_else(lost)).collect()
}

fn respond(spelling: &Spelling, effect: StatementEffect, rows: &Rows) -> Result<InvokeResponse, BindingError> {
    let metadata = capacity_header(rows.capacity).into_iter().collect();
    if effect == StatementEffect::Writes && rows.items.is_empty() {
        return Ok(InvokeResponse { metadata, ..InvokeResponse::default() });
    }
    let items = rows.items.iter().map(|item| spelling.write(item)).collect::<Result<Vec<_>, _>>();
    let items = items.map_err(unwritable)?;
    let answer = Answer { count: items.len(), items, next_token: rows.next_token.as_deref() };
    Ok(InvokeResponse { data: Some(body(&answer)?), metadata, ..InvokeResponse::default() })
}

#[cfg(test)]
mod tests {
    use super::super::calls::item_from_json;
    use super::*;

    fn statements() -> BTreeMap<String, String> {
        let pair = |name: &str| (name.to_owned(), "SELECT * FROM rows WHERE id = ?".to_owned());
        BTreeMap::from([pair("by-id"), pair("by-name")])
    }

    #[test]
    fn an_unknown_statement_is_answered_with_the_known_ones() {
        assert!(find(&statements(), "by-id").is_ok());
        let error = find(&statements(), "SELECT 1").unwrap_err();
        assert_eq!(error.kind(), FailureKind::Caller);
        assert!(error.message().ends_with("it has by-id, by-name"), "{error}");
        assert!(find(&BTreeMap::new(), "x").unwrap_err().message().contains("`statements`"));
    }

    #[test]
    fn parameters_keep_order_and_digits() {
        let texts: Vec<Box<RawValue>> = ["1.50", r#""a""#, "null", "[1]", "0", "1", "2", "3", "4", "5", "true"]
            .map(|text| RawValue::from_string(text.to_owned()).unwrap())
            .into();
        let texts: Vec<&RawValue> = texts.iter().map(AsRef::as_ref).collect();
        let values = read_parameters(&Spelling::default(), &texts).unwrap();
        assert_eq!((values[0].as_n().unwrap().as_str(), values[1].as_s().unwrap().as_str()), ("1.50", "a"));
        assert_eq!((values.len(), values[10].as_bool()), (11, Ok(&true)));
        let bad = RawValue::from_string(r#"{"":1}"#.to_owned()).unwrap();
        let error = read_parameters(&Spelling::default(), &[texts[0], &bad]).unwrap_err();
        assert!(error.message().contains("$.parameters.1"), "{error}");
    }

    #[test]
    fn a_page_tells_where_to_go_on() {
        let item = item_from_json(br#"{"id":"1","n":1.50}"#).unwrap();
        let rows = Rows { items: vec![item], next_token: Some("t".to_owned()), capacity: Some(0.5) };
        let answer = respond(&Spelling::default(), StatementEffect::Reads, &rows).unwrap();
        assert_eq!(answer.data.unwrap(), r#"{"items":[{"id":"1","n":1.50}],"count":1,"nextToken":"t"}"#);
        assert_eq!(answer.metadata, [("consumedCapacity", "0.5".to_owned())]);
        let empty = respond(&Spelling::default(), StatementEffect::Reads, &Rows::default()).unwrap();
        assert_eq!(empty.data.unwrap(), r#"{"items":[],"count":0}"#);
        assert_eq!(respond(&Spelling::default(), StatementEffect::Writes, &Rows::default()).unwrap().data, None);
    }
}
