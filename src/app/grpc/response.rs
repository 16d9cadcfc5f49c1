//! Output bindings that the response to an event names.

use crate::domain::{ComponentName, DataForm, InvokeRequest, Metadata, Outputs, cause_line};
use crate::protocol::runtime::BindingEventResponse;
use crate::protocol::runtime::binding_event_response::BindingEventConcurrency;
use bytes::Bytes;
use futures_util::future::join_all;

/// Outputs that are called at once for one response. A response may name more.
const MAX_PARALLEL: usize = 64;

/// Sends the data of the response to each output that it names, with the operation `create`. A failure is logged and does
/// not fail the event, as in daprd; one after another, the first failure ends it.
pub(super) async fn act(input: &ComponentName, response: BindingEventResponse, outputs: &dyn Outputs) {
    let is_parallel = response.concurrency() == BindingEventConcurrency::Parallel;
    let at_once = if is_parallel { MAX_PARALLEL } else { 1 };
    for names in response.to.chunks(at_once) {
        let calls = names.iter().map(|name| call(name, response.data.clone(), outputs));
        for (name, result) in names.iter().zip(join_all(calls).await) {
            let Err(error) = result else { continue };
            tracing::error!(component = %input, output = name, error, "error executing app response: {error}");
            if !is_parallel {
                return;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BindingError, FailureKind, InvokeResponse};
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts calls. Each waits once, so that others begin meanwhile; then it fails.
    #[derive(Debug, Default)]
    struct Failing {
        calls: AtomicUsize,
        in_flight: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Outputs for Failing {
        async fn call(&self, _: &ComponentName, _: InvokeRequest) -> Option<Result<InvokeResponse, BindingError>> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.most.fetch_max(self.in_flight.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            Some(Err(BindingError::new(FailureKind::Transient, "no")))
        }
    }

    #[tokio::test]
    async fn parallel_calls_are_limited_and_a_failure_ends_only_a_sequence() {
        for (concurrency, calls, most) in
            [(BindingEventConcurrency::Sequential, 1, 1), (BindingEventConcurrency::Parallel, 1_000, MAX_PARALLEL)]
        {
            let to = vec!["x".to_owned(); 1_000];
            let response = BindingEventResponse { to, data: Bytes::new(), concurrency: concurrency.into() };
            let outputs = Failing::default();
            act(&"in".parse().unwrap(), response, &outputs).await;
            let counted = (outputs.calls.into_inner(), outputs.most.into_inner());
            assert_eq!(counted, (calls, most), "{concurrency:?}");
        }
    }
}
