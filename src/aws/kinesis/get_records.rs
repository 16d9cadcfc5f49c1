//! `GetRecords`: sent without the SDK where that is enough, as an idle shard is read every second.

use super::super::direct_call::{DirectCaller, DirectError};
use super::super::failure::{CallError, classify, classify_response};
use super::super::{Connection, StreamRef};
use super::get_records_json;
use super::page::Page;
use crate::domain::FailureKind;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const OPERATION: &str = "Kinesis: GetRecords";
/// How long all calls are made by the SDK after AWS refused a signature.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Reads the shards of one stream.
#[derive(Debug)]
pub(super) struct GetRecords {
    connection: Connection,
    client: Client,
    stream: StreamRef,
    direct: DirectCaller,
    refused_until: Mutex<Option<Instant>>,
}

impl GetRecords {
    pub(super) fn new(connection: &Connection, client: Client, stream: StreamRef) -> Self {
        let direct = connection.direct_reader();
        Self { connection: connection.clone(), client, stream, direct, refused_until: Mutex::default() }
    }

    /// Requests at most `limit` records.
    pub(super) async fn call(&self, iterator: &str, limit: usize) -> Result<Page, CallError> {
        let _permit = self.connection.permit().await;
        if let Some(result) = self.call_directly(iterator, limit).await {
            return result;
        }
        let call = self.client.get_records().shard_iterator(iterator).limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let call = call.set_stream_arn(self.stream.arn().map(str::to_owned));
        let sent = match self.direct.model() {
            Some(model) => call.customize().interceptor(model).send().await,
            None => call.send().await,
        };
        sent.map(Page::from).map_err(|error| classify(OPERATION, error))
    }

    /// `None` if the SDK must make the call.
    async fn call_directly(&self, iterator: &str, limit: usize) -> Option<Result<Page, CallError>> {
        if self.refused_until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let request = get_records_json::request(iterator, limit, self.stream.arn());
        let response = match self.direct.call(request).await {
            Ok(response) => response,
            Err(DirectError::NotSent) => return None,
            Err(DirectError::TimedOut(limit)) => return Some(Err(lost(SdkError::timeout_error(Late(limit))))),
            Err(DirectError::Connection(error)) => return Some(Err(lost(SdkError::dispatch_failure(error)))),
        };
        if response.status.is_success() {
            return get_records_json::page(&response.body).map(Ok);
        }
        let (code, message) = get_records_json::error(&response.body);
        let (status, request_id) = (response.status.as_u16(), response.request_id);
        let error = classify_response(OPERATION, status, request_id, code, message.as_deref());
        if error.kind != FailureKind::Denied {
            return Some(Err(error));
        }
        // The SDK finds out whether the credentials have expired or the clock is off, and mends it.
        let until = Instant::now() + REFUSED_FOR;
        *self.refused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        None
    }

    fn refused_until(&self) -> Option<Instant> {
        *self.refused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no response within {0:?}")]
struct Late(Duration);

fn lost(error: SdkError<GetRecordsError, HttpResponse>) -> CallError {
    classify(OPERATION, error)
}
