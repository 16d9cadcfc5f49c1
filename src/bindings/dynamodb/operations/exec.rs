//! `exec`: a PartiQL statement of the component, by its name (`ExecuteStatement`). Requests send parameters, never the
//! text of a statement.

use super::super::super::strict_json::shown;
use super::super::codec::ItemCodec;
use super::super::context::TableContext;
use super::super::failure::invalid_request;
use super::super::operation::Access;
use super::super::request::Request;
use super::super::request_data::parse;
use super::super::response::{capacity_header, capacity_units, json_body, lost_result, not_serializable};
use super::super::ttl;
use super::page_token::{QueryDigest, decode, encode};
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Idempotency;
use aws_sdk_dynamodb::operation::execute_statement::ExecuteStatementOutput;
use aws_sdk_dynamodb::operation::execute_statement::builders::ExecuteStatementFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const FORM: &str = r#"{"statement":"<name>","parameters"?:[…],"limit"?:10,"consistentRead"?:true,"nextToken"?:"…"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExecRequest<'t> {
    statement: String,
    #[serde(borrow)]
    parameters: Option<Vec<&'t RawValue>>,
    limit: Option<u32>,
    consistent_read: Option<bool>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecResponse<'a> {
    items: Vec<Box<RawValue>>,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
}

/// Executes a statement. One that writes is not sent again after an unknown outcome, unless `retryAmbiguous` allows it.
/// Expired items of a `SELECT` are left out if the component hides them and the row includes the TTL attribute.
///
/// # Errors
/// When `data` has another form or names no statement of the component; as DynamoDB returned.
pub(in super::super) async fn exec(cx: &TableContext, request: Request) -> Result<InvokeResponse, BindingError> {
    let data: ExecRequest<'_> = parse(&request.data, FORM)?;
    let text = find(&cx.options.statements, &data.statement)?;
    let access = statement_access(text);
    let (call, hidden) = match access {
        Access::Read => (request.call("ExecuteStatement", Idempotency::Idempotent), cx.options.hidden_by_ttl()),
        Access::Write => {
            let repeat = request.repeat_ambiguous(cx.options.repeat_ambiguous);
            (request.call("ExecuteStatement", repeat).writing(1), None)
        }
    };
    let on_condition_failure = request.on_condition_failure().inspect_err(|_| cx.count_refused(call.writes))?;
    let (statement, digest) = prepare(cx, &request, data, text).inspect_err(|_| cx.count_refused(call.writes))?;
    let statement = statement.set_return_values_on_condition_check_failure(on_condition_failure.clone());
    let attempt = || {
        let sent = cx.call("DynamoDB: ExecuteStatement", request.deadline, statement.clone().send());
        let (request, requested) = (&request, on_condition_failure.as_ref());
        async move { sent.await.map_err(|failure| request.call_error(failure, requested)) }
    };
    let mut output = cx.runner.run(call, attempt).await?.value;
    if let Some(items) = &mut output.items {
        items.retain(|item| ttl::is_visible(item, hidden));
    }
    output.next_token = output.next_token.map(|token| encode(digest, &token));
    respond(&request.codec, access, &output)
}

/// The call and the digest for its page tokens.
fn prepare(
    cx: &TableContext,
    request: &Request,
    data: ExecRequest<'_>,
    text: &str,
) -> Result<(ExecuteStatementFluentBuilder, QueryDigest), BindingError> {
    if data.limit == Some(0) {
        return Err(invalid_request("`limit` must be at least 1"));
    }
    let parameters = parse_parameters(&request.codec, &data.parameters.unwrap_or_default())?;
    let digest = QueryDigest::of_statement(&cx.table, &data.statement, text, &parameters)?;
    let next_token = data.next_token.map(|token| decode(digest, &token)).transpose()?;
    let statement = cx
        .client
        .execute_statement()
        .statement(text)
        .set_parameters(Some(parameters).filter(|parameters| !parameters.is_empty()))
        .set_next_token(next_token)
        .set_return_consumed_capacity(cx.consumed_capacity());
    let statement = match statement_access(text) {
        Access::Read => {
            let limit = data.limit.unwrap_or(u32::MAX).min(cx.options.max_page_items);
            let is_consistent = request.consistent_read(data.consistent_read, cx.options.consistent_read);
            statement.set_limit(i32::try_from(limit).ok()).set_consistent_read(is_consistent.then_some(true))
        }
        // DynamoDB refuses these parameters for writes.
        Access::Write => statement,
    };
    Ok((statement, digest))
}

/// Only `SELECT` reads.
fn statement_access(text: &str) -> Access {
    let keyword = text.split_whitespace().next().unwrap_or_default();
    if keyword.eq_ignore_ascii_case("select") { Access::Read } else { Access::Write }
}

fn find<'s>(statements: &'s BTreeMap<String, String>, name: &str) -> Result<&'s str, BindingError> {
    statements.get(name).map(String::as_str).ok_or_else(|| {
        let known: Vec<&str> = statements.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "it has none, add the metadata field `statements` to the component".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        };
        invalid_request(format!("the component has no statement `{}`: {known}", shown(name)))
    })
}

/// Parsed as the members of one object, whose names are their indexes, so that the codec's rules and size limit apply.
fn parse_parameters(codec: &ItemCodec, texts: &[&RawValue]) -> Result<Vec<AttributeValue>, BindingError> {
    let named: BTreeMap<usize, &RawValue> = texts.iter().copied().enumerate().collect();
    let object = serde_json::value::to_raw_value(&named).map_err(not_serializable)?;
    let mut members = codec.item_at("parameters", &object)?;
    (0..texts.len()).map(|index| members.remove(&index.to_string()).ok_or_else(lost_result)).collect()
}

fn respond(codec: &ItemCodec, access: Access, output: &ExecuteStatementOutput) -> Result<InvokeResponse, BindingError> {
    let metadata = capacity_header(capacity_units(&output.consumed_capacity)).into_iter().collect();
    if access == Access::Write && output.items().is_empty() {
        return Ok(InvokeResponse { metadata, ..InvokeResponse::default() });
    }
    let items = output.items().iter().map(|item| codec.write(item)).collect::<Result<Vec<_>, _>>();
    let items = items.map_err(not_serializable)?;
    let response = ExecResponse { count: items.len(), items, next_token: output.next_token() };
    Ok(InvokeResponse { data: Some(json_body(&response)?), metadata, ..InvokeResponse::default() })
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::item_from_json;
    use super::*;
    use crate::domain::FailureKind;
    use aws_sdk_dynamodb::types::ConsumedCapacity;

    fn statements() -> BTreeMap<String, String> {
        let pair = |name: &str| (name.to_owned(), "SELECT * FROM rows WHERE id = ?".to_owned());
        BTreeMap::from([pair("by-id"), pair("by-name")])
    }

    #[test]
    fn an_unknown_statement_is_refused_with_the_known_ones() {
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
        let values = parse_parameters(&ItemCodec::default(), &texts).unwrap();
        assert_eq!((values[0].as_n().unwrap().as_str(), values[1].as_s().unwrap().as_str()), ("1.50", "a"));
        assert_eq!((values.len(), values[10].as_bool()), (11, Ok(&true)));
        let bad = RawValue::from_string(r#"{"":1}"#.to_owned()).unwrap();
        let error = parse_parameters(&ItemCodec::default(), &[texts[0], &bad]).unwrap_err();
        assert!(error.message().contains("$.parameters.1"), "{error}");
    }

    #[test]
    fn a_page_has_the_token_of_the_next() {
        let item = item_from_json(br#"{"id":"1","n":1.50}"#).unwrap();
        let capacity = ConsumedCapacity::builder().capacity_units(0.5).build();
        let page = ExecuteStatementOutput::builder().items(item).next_token("t").consumed_capacity(capacity).build();
        let response = respond(&ItemCodec::default(), Access::Read, &page).unwrap();
        assert_eq!(response.data.unwrap(), r#"{"items":[{"id":"1","n":1.50}],"count":1,"nextToken":"t"}"#);
        assert_eq!(response.metadata, [("consumedCapacity".into(), "0.5".to_owned())]);
        let empty = ExecuteStatementOutput::builder().build();
        let response = respond(&ItemCodec::default(), Access::Read, &empty).unwrap();
        assert_eq!(response.data.unwrap(), r#"{"items":[],"count":0}"#);
        assert_eq!(respond(&ItemCodec::default(), Access::Write, &empty).unwrap().data, None);
    }

    #[test]
    fn only_a_select_reads() {
        for text in ["select * from x", "  SELECT\n* FROM x"] {
            assert_eq!(statement_access(text), Access::Read);
        }
        for text in ["INSERT INTO x VALUE {}", "update x set a=1", "DELETE FROM x", "EXISTS(SELECT 1)", ""] {
            assert_eq!(statement_access(text), Access::Write);
        }
    }
}
