use super::*;
use crate::domain::{DataForm, Direction, EventHandler, InputBinding, Metadata, OperationName, OutputBinding, Stop};
use crate::manifest::{Place, ResiliencyDocument};
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
struct Fake {
    name: ComponentName,
    closed: AtomicUsize,
    panics: bool,
}

#[async_trait]
impl Binding for Fake {
    fn name(&self) -> &ComponentName {
        &self.name
    }
    fn input(&self) -> Option<&dyn InputBinding> {
        Some(self)
    }
    fn output(&self) -> Option<&dyn OutputBinding> {
        Some(self)
    }
    async fn close(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "on purpose");
    }
}

#[async_trait]
impl InputBinding for Fake {
    async fn read(&self, _: Arc<dyn EventHandler>, _: Stop) -> Result<(), BindingError> {
        Ok(())
    }
}

#[async_trait]
impl OutputBinding for Fake {
    fn operations(&self) -> &[OperationName] {
        static OPERATIONS: [OperationName; 2] = [Cow::Borrowed("create"), Cow::Borrowed("get")];
        &OPERATIONS
    }
    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        Ok(InvokeResponse { data: Some(request.data), ..InvokeResponse::default() })
    }
}

fn fake(name: &str, panics: bool) -> Arc<Fake> {
    Arc::new(Fake { name: name.parse().unwrap(), closed: AtomicUsize::new(0), panics })
}

fn component(binding: Arc<Fake>, direction: Direction) -> Component {
    Component { binding, type_name: "bindings.fake".to_owned(), version: "v1".to_owned(), direction }
}

fn request(operation: &str) -> InvokeRequest {
    let data = Bytes::from_static(b"1");
    InvokeRequest { operation: operation.to_owned(), data, form: DataForm::Json, metadata: Metadata::default() }
}

async fn invoke_error(host: &Host, name: &str, operation: &str) -> (String, FailureKind) {
    let error = host.invoke(name, request(operation)).await.unwrap_err();
    (error.to_string(), error.kind())
}

#[tokio::test]
async fn errors_have_the_texts_of_daprd() {
    let host = Host::new(vec![
        component(fake("out", false), Direction::Output),
        component(fake("in", false), Direction::Input),
    ]);
    let missing = ("operation field is missing from request".to_owned(), FailureKind::Caller);
    assert_eq!(invoke_error(&host, "out", "").await, missing);
    assert_eq!(invoke_error(&host, "unknown", "").await, missing, "the operation is checked first");
    let unknown = |name| (format!("couldn't find output binding {name}"), FailureKind::NotFound);
    assert_eq!(invoke_error(&host, "unknown", "create").await, unknown("unknown"));
    assert_eq!(invoke_error(&host, "in", "create").await, unknown("in"), "an input is not an output");
    let unsupported = "binding out does not support operation Create. supported operations:create get";
    assert_eq!(invoke_error(&host, "out", "Create").await, (unsupported.to_owned(), FailureKind::Caller));
}

#[tokio::test]
async fn an_operation_reaches_its_component() {
    let host = Host::new(vec![component(fake("out", false), Direction::Unstated)]);
    let response = host.invoke("out", request("create")).await.unwrap();
    assert_eq!(response.data.as_deref(), Some(&b"1"[..]));
}

#[test]
fn the_description_names_only_the_sides_that_are_requested() {
    let sides = [
        (Direction::Unstated, &["INPUT_BINDING", "OUTPUT_BINDING"][..], 1),
        (Direction::Both, &["INPUT_BINDING", "OUTPUT_BINDING"][..], 1),
        (Direction::Input, &["INPUT_BINDING"][..], 1),
        (Direction::Output, &["OUTPUT_BINDING"][..], 0),
    ];
    for (direction, capabilities, inputs) in sides {
        let host = Host::new(vec![component(fake("orders", false), direction)]);
        let (name, type_name, version) = ("orders".to_owned(), "bindings.fake".to_owned(), "v1".to_owned());
        let expected = Description { name, type_name, version, capabilities };
        assert_eq!(host.describe().collect::<Vec<_>>(), [expected], "{direction:?}");
        let has_input = |component: &ComponentHandle| component.has_input();
        assert_eq!(host.components().iter().filter(|component| has_input(component)).count(), inputs, "{direction:?}");
    }
}

#[tokio::test]
async fn every_component_is_closed_although_one_panics() {
    let (good, bad) = (fake("good", false), fake("bad", true));
    let components = [&bad, &good].map(|binding| component(Arc::clone(binding), Direction::Both));
    let panicked = Host::new(components.to_vec()).close_all().await;
    assert_eq!(panicked, ["bad".parse().unwrap()]);
    assert_eq!(good.closed.load(Ordering::SeqCst), 1);
}

/// An output whose first call of two fails.
#[derive(Debug)]
struct Flaky {
    name: ComponentName,
    calls: AtomicUsize,
}

#[async_trait]
impl Binding for Flaky {
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
impl OutputBinding for Flaky {
    fn operations(&self) -> &[OperationName] {
        static OPERATIONS: [OperationName; 1] = [Cow::Borrowed("create")];
        &OPERATIONS
    }
    async fn invoke(&self, _: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        match self.calls.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Err(BindingError::new(FailureKind::Transient, "no")),
            _ => Ok(InvokeResponse::default()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn responses_of_the_app_call_outputs_under_their_policies() {
    let policies = Policies::default();
    let retry = serde_json::json!({ "policy": "constant", "duration": "1s", "maxRetries": 1 });
    let spec =
        serde_json::json!({ "policies": { "retries": { "DefaultBindingComponentOutboundRetryPolicy": retry } } });
    policies.reload(&[ResiliencyDocument {
        name: "shop".to_owned(),
        namespace: String::new(),
        place: Place { file: "resiliency.yaml".to_owned(), document: 1 },
        spec: spec.as_object().unwrap().clone(),
    }]);
    let binding = Arc::new(Flaky { name: "out".parse().unwrap(), calls: AtomicUsize::new(0) });
    let component = Component {
        binding,
        type_name: "bindings.fake".to_owned(),
        version: "v1".to_owned(),
        direction: Direction::Output,
    };
    let host = Arc::new(Host::new(vec![component]).with_policies(Arc::new(policies)));
    let (outputs, name) = (OutputsUnderPolicies(Arc::clone(&host)), "out".parse().unwrap());
    assert!(outputs.call(&name, request("create")).await.unwrap().is_ok(), "repeated");
    assert!(host.call(&name, request("create")).await.unwrap().is_err(), "a component repeats its calls itself");
    let unsupported = outputs.call(&name, request("get")).await.unwrap().unwrap_err();
    assert!(unsupported.to_string().contains("binding out does not support operation get"), "{unsupported}");
    assert!(outputs.call(&"none".parse().unwrap(), request("create")).await.is_none());
}

/// An output whose calls wait until they are let go.
#[derive(Debug)]
struct Waiting {
    name: ComponentName,
    answer: &'static str,
    begun: tokio::sync::mpsc::UnboundedSender<()>,
    go: tokio::sync::Semaphore,
    closed: AtomicUsize,
}

#[async_trait]
impl Binding for Waiting {
    fn name(&self) -> &ComponentName {
        &self.name
    }
    fn input(&self) -> Option<&dyn InputBinding> {
        None
    }
    fn output(&self) -> Option<&dyn OutputBinding> {
        Some(self)
    }
    async fn close(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl OutputBinding for Waiting {
    fn operations(&self) -> &[OperationName] {
        static OPERATIONS: [OperationName; 1] = [Cow::Borrowed("create")];
        &OPERATIONS
    }
    async fn invoke(&self, _: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        self.begun.send(()).unwrap();
        drop(self.go.acquire().await.unwrap());
        assert_eq!(self.closed.load(Ordering::SeqCst), 0, "a component is closed after its last call");
        Ok(InvokeResponse { data: Some(Bytes::from_static(self.answer.as_bytes())), ..InvokeResponse::default() })
    }
}

type Begun = tokio::sync::mpsc::UnboundedReceiver<()>;

fn waiting(answer: &'static str) -> (Arc<Waiting>, Component, Begun) {
    let (begun, calls) = tokio::sync::mpsc::unbounded_channel();
    let (name, go) = ("out".parse().unwrap(), tokio::sync::Semaphore::new(0));
    let binding = Arc::new(Waiting { name, answer, begun, go, closed: AtomicUsize::new(0) });
    let component = Component {
        binding: Arc::clone(&binding) as Arc<dyn Binding>,
        type_name: "bindings.fake".to_owned(),
        version: "v1".to_owned(),
        direction: Direction::Output,
    };
    (binding, component, calls)
}

async fn answer(host: &Host) -> String {
    let response = host.invoke("out", request("create")).await.unwrap();
    String::from_utf8(response.data.unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_end_on_the_component_on_which_they_began_and_it_is_closed_after_the_last() {
    let (old, old_component, mut old_calls) = waiting("old");
    let (new, new_component, _new_calls) = waiting("new");
    new.go.add_permits(1);
    let host = Host::new(vec![old_component]);
    assert!(host.replace(component(fake("other", false), Direction::Output)).is_none(), "it was added");
    let replacing = async {
        old_calls.recv().await.unwrap();
        let retired = host.replace(new_component).unwrap();
        assert_eq!(answer(&host).await, "new", "a call that begins now finds the new one");
        old.go.add_permits(1);
        assert!(retired.close(Duration::from_secs(60)).await);
        assert_eq!(old.closed.load(Ordering::SeqCst), 1);
    };
    assert_eq!(tokio::join!(answer(&host), replacing).0, "old");
    assert_eq!(host.describe().map(|found| found.name).collect::<Vec<_>>(), ["out", "other"], "in its old place");
    assert!(host.close_all().await.is_empty());
    assert_eq!((old.closed.load(Ordering::SeqCst), new.closed.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_removed_component_is_not_found_and_a_call_cannot_keep_it_open_for_ever() {
    let (old, old_component, mut old_calls) = waiting("old");
    let host = Host::new(vec![old_component]);
    let removing = async {
        old_calls.recv().await.unwrap();
        let retired = host.remove(&"out".parse().unwrap()).unwrap();
        let unknown = ("couldn't find output binding out".to_owned(), FailureKind::NotFound);
        assert_eq!(invoke_error(&host, "out", "create").await, unknown);
        assert!(!retired.close(Duration::from_secs(5)).await, "the call still uses it");
    };
    let component = host.component("out").unwrap();
    let call = async { component.output().unwrap().invoke(request("create")).await };
    tokio::select! {
        () = removing => {}
        _ = call => panic!("the call waits for ever"),
    }
    assert_eq!(old.closed.load(Ordering::SeqCst), 1);
    assert!(host.remove(&"out".parse().unwrap()).is_none());
}

#[tokio::test]
async fn a_retired_component_that_was_not_closed_is_closed_with_the_others() {
    let (old, old_component, _calls) = waiting("old");
    let host = Host::new(vec![old_component]);
    drop(host.replace(waiting("new").1));
    assert!(host.close_all().await.is_empty());
    assert_eq!(old.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn another_component_finds_what_has_the_name_now() {
    let host = Host::new(vec![component(fake("letters", false), Direction::Output)]);
    let name = "letters".parse().unwrap();
    assert!(host.call(&name, request("create")).await.unwrap().is_ok());
    drop(host.replace(component(fake("letters", false), Direction::Input)));
    assert!(host.call(&name, request("create")).await.is_none(), "the new one has no output");
}

#[tokio::test]
async fn a_disabled_component_is_known_and_does_not_run() {
    let name: ComponentName = "orders".parse().unwrap();
    let host =
        Host::new(vec![component(fake("orders", false), Direction::Output)]).with_disabled(["off".parse().unwrap()]);
    assert_eq!(invoke_error(&host, "off", "create").await.1, FailureKind::Conflict);
    assert!(host.disable(&name).unwrap().close(Duration::from_secs(1)).await);
    let (text, kind) = invoke_error(&host, "orders", "create").await;
    assert!(kind == FailureKind::Conflict && text.starts_with("binding orders is disabled"), "{text}");
    assert!(host.disable(&name).is_none() && host.describe().next().is_none());
    assert!(host.replace(component(fake("orders", false), Direction::Output)).is_none());
    assert!(host.invoke("orders", request("create")).await.is_ok());
    let _retired = host.disable(&name);
    assert!(host.remove(&name).is_none());
    assert_eq!(invoke_error(&host, "orders", "create").await.1, FailureKind::NotFound);
}
