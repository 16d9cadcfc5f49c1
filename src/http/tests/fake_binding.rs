//! An output binding whose behaviour is chosen by the operation, and the state of an API around it.

use super::super::{ApiState, AppConnection, HttpSettings};
use super::fake_components::FakeComponents;
use crate::domain::{
    Binding, BindingError, BodyMemory, Completion, ComponentName, DEAD_LETTERED, Direction, FailureKind, InputBinding,
    InvokeRequest, InvokeResponse, OperationName, Outcome, OutputBinding, Stop,
};
use crate::runtime::{Component, ExtendedMetadata, Host, Readiness};
use crate::telemetry::Metrics;
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

#[derive(Debug)]
pub(super) struct Fake {
    name: ComponentName,
    pub(super) seen: Mutex<Vec<InvokeRequest>>,
    /// Whether raw bodies are accepted.
    pub(super) takes_raw: AtomicBool,
    /// Notified when a `wait` has started.
    pub(super) waiting: Notify,
    /// A permit lets one `wait` end.
    pub(super) go: Semaphore,
}

#[async_trait]
impl Binding for Fake {
    fn name(&self) -> &ComponentName {
        &self.name
    }
    fn input(&self) -> Option<&dyn InputBinding> {
        None
    }
    fn output(&self) -> Option<&dyn OutputBinding> {
        Some(self)
    }
    async fn close(&self) {}
}

#[async_trait]
impl OutputBinding for Fake {
    fn operations(&self) -> &[OperationName] {
        static OPERATIONS: LazyLock<Vec<OperationName>> = LazyLock::new(|| {
            let names =
                ["create", "echo", "wait", "panic", "throttle", "lose", "deny", "mix", "bury", "condition", "refuse"];
            names.map(Cow::Borrowed).to_vec()
        });
        &OPERATIONS
    }

    fn raw_body_keys(&self) -> Option<&'static [&'static str]> {
        self.takes_raw.load(Ordering::Relaxed).then_some(&["partitionKey"])
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        self.seen.lock().unwrap().push(request.clone());
        let metadata = vec![("sequenceNumber".into(), "495".to_owned()), ("bad".into(), "a\nb".to_owned())];
        match request.operation.as_str() {
            "echo" => Ok(InvokeResponse { data: Some(request.data), ..InvokeResponse::default() }),
            "panic" => panic!("on purpose"),
            "wait" => {
                self.waiting.notify_one();
                self.go.acquire().await.unwrap().forget();
                Ok(InvokeResponse::default())
            }
            "throttle" => {
                Err(BindingError::new(FailureKind::Throttled, "too much")
                    .with_retry_after(Duration::from_millis(1_500)))
            }
            "lose" => Err(BindingError::new(FailureKind::TimedOut, "no reply in time").with_outcome(Outcome::Unknown)),
            "mix" => Ok(InvokeResponse {
                data: Some(Bytes::from_static(b"[]")),
                metadata: vec![("failed".into(), "1".to_owned())],
                completion: Completion::Partial,
                ..InvokeResponse::default()
            }),
            "bury" => Err(BindingError::new(FailureKind::Transient, "gone")
                .with_outcome(Outcome::Unknown)
                .with_detail("requestId", "r-1")
                .with_detail(DEAD_LETTERED, "true")),
            "refuse" => Err(BindingError::new(FailureKind::Unsupported, "not here")),
            "condition" => Err(BindingError::new(FailureKind::Conflict, "no").with_reason("CONDITION_FAILED")),
            "deny" => Err(BindingError::new(FailureKind::Denied, "not allowed")
                .with_source("secret cause")
                .with_metadata("statusCode", "403")),
            _ => Ok(InvokeResponse { metadata, ..InvokeResponse::default() }),
        }
    }
}

pub(super) fn state(settings: HttpSettings) -> (Arc<ApiState>, Arc<Fake>) {
    state_with_buffer(settings, None)
}

pub(super) fn state_with_buffer(settings: HttpSettings, max_buffer: Option<usize>) -> (Arc<ApiState>, Arc<Fake>) {
    let name = "orders".parse().unwrap();
    let seen = Mutex::default();
    let fake =
        Arc::new(Fake { name, seen, takes_raw: AtomicBool::new(false), waiting: Notify::new(), go: Semaphore::new(0) });
    let component = Component {
        binding: Arc::clone(&fake) as Arc<dyn Binding>,
        type_name: "bindings.fake".to_owned(),
        version: "v1".to_owned(),
        direction: Direction::Unstated,
    };
    let extended = ExtendedMetadata::new();
    extended.set("appPID", "7").unwrap();
    let state = ApiState {
        host: Arc::new(Host::new(vec![component]).with_disabled(vec!["switched-off".parse().unwrap()])),
        ready: Readiness::new(),
        outbound: Readiness::new(),
        metrics: Metrics::new(),
        settings,
        app_id: "shop".to_owned(),
        app: AppConnection { port: Some(3000), ..AppConnection::default() },
        is_app_healthy: watch::channel(true).1,
        features: vec!["HotReload".to_owned()],
        extended,
        body_memory: BodyMemory::new(max_buffer),
        components: Some(Arc::new(FakeComponents)),
        stop: Stop::new(),
        abort_calls: Stop::new(),
    };
    (Arc::new(state), fake)
}
