//! Output bindings that the response to an event names.

use crate::domain::{ComponentName, DataForm, InvokeRequest, Metadata, Outputs, cause_line};
use crate::protocol::runtime::BindingEventResponse;
use crate::protocol::runtime::binding_event_response::BindingEventConcurrency;
use bytes::Bytes;

/// Sends the data of the response to each output that it names, with the operation `create`. A failure is logged and does
/// not fail the event, as in daprd; one after another, the first failure ends it.
pub(super) async fn act(input: &ComponentName, response: BindingEventResponse, outputs: &dyn Outputs) {
    let is_parallel = response.concurrency() == BindingEventConcurrency::Parallel;
    let calls = response.to.iter().map(|name| call(name, response.data.clone(), outputs));
    if is_parallel {
        for (name, result) in response.to.iter().zip(futures_util::future::join_all(calls).await) {
            log(input, name, result);
        }
        return;
    }
    for (name, call) in response.to.iter().zip(calls) {
        let result = call.await;
        let has_failed = result.is_err();
        log(input, name, result);
        if has_failed {
            return;
        }
    }
}

async fn call(name: &str, data: Bytes, outputs: &dyn Outputs) -> Result<(), String> {
    let unknown = || format!("couldn't find output binding {name}");
    let component: ComponentName = name.parse().map_err(|_| unknown())?;
    let request =
        InvokeRequest { operation: "create".to_owned(), data, form: DataForm::Raw, metadata: Metadata::default() };
    match outputs.call(&component, request).await {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(cause_line(&error)),
        None => Err(unknown()),
    }
}

fn log(input: &ComponentName, output: &str, result: Result<(), String>) {
    if let Err(error) = result {
        tracing::error!(component = %input, output, error, "error executing app response: {error}");
    }
}
