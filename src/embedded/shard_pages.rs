//! Pages of ListShards. The token of ferrokinesis names neither the stream nor the filter, so it rejects each request for a
//! second page. Here the token is the request for the next page.

use super::protocol::{JSON, response, unreadable_response};
use axum::body::{Body, to_bytes};
use axum::response::Response;
use serde_json::{Value, json};

/// The default and the maximum of `MaxResults` (ListShards, API reference).
const MAX_RESULTS: u64 = 1_000;

/// The request for the page that `request` asks for, without a token.
///
/// # Errors
/// The text of the error for a token that no page returned, and for a token with a stream or a filter beside it.
pub(super) fn without_token(mut request: Value) -> Result<Value, &'static str> {
    let max_results = request["MaxResults"].as_u64().unwrap_or(MAX_RESULTS).min(MAX_RESULTS);
    if let Some(token) = request["NextToken"].as_str() {
        let others = ["StreamName", "ShardFilter", "ExclusiveStartShardId", "StreamCreationTimestamp"];
        if others.iter().any(|member| !request[member].is_null()) {
            return Err("NextToken cannot be provided together with a stream, a filter or a shard");
        }
        let next = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).ok();
        let next = next.and_then(|json| serde_json::from_slice::<Value>(&json).ok()).filter(Value::is_object);
        request = next.ok_or("NextToken is invalid")?;
    }
    if request.is_object() {
        request["MaxResults"] = json!(max_results);
    }
    Ok(request)
}

/// Replaces the token in the response to `request`.
pub(super) async fn with_token(request: &Value, original: Response) -> Response {
    if !original.status().is_success() {
        return original;
    }
    let (parts, body) = original.into_parts();
    let listed = to_bytes(body, usize::MAX).await.map(|bytes| serde_json::from_slice::<Value>(&bytes));
    let Ok(Ok(mut listed)) = listed else {
        return unreadable_response();
    };
    if let Some(last) = listed["NextToken"].as_str() {
        let mut next = json!({ "StreamName": request["StreamName"], "ExclusiveStartShardId": last });
        if !request["ShardFilter"].is_null() {
            next["ShardFilter"] = request["ShardFilter"].clone();
        }
        listed["NextToken"] = base64_simd::URL_SAFE_NO_PAD.encode_to_string(next.to_string()).into();
    }
    response(parts.status, JSON, Body::from(listed.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[tokio::test]
    async fn a_token_is_the_request_for_the_next_page() {
        let filter = json!({ "Type": "AT_LATEST" });
        let first = without_token(json!({ "StreamName": "orders", "ShardFilter": filter })).unwrap();
        assert_eq!(first["MaxResults"], 1_000);
        let listed = json!({ "Shards": [], "NextToken": "shardId-7" }).to_string();
        let listed = with_token(&first, response(StatusCode::OK, JSON, Body::from(listed))).await;
        let listed: Value = serde_json::from_slice(&to_bytes(listed.into_body(), usize::MAX).await.unwrap()).unwrap();
        let second = without_token(json!({ "NextToken": listed["NextToken"], "MaxResults": 5 })).unwrap();
        let expected = json!({
            "StreamName": "orders", "ShardFilter": filter, "ExclusiveStartShardId": "shardId-7", "MaxResults": 5
        });
        assert_eq!(second, expected);
        for bad in [json!({ "NextToken": "x" }), json!({ "NextToken": listed["NextToken"], "StreamName": "orders" })] {
            assert!(without_token(bad).is_err());
        }
    }
}
