use super::*;
use crate::domain::{DataForm, EventHandler, InputBinding, Metadata, Stop};
use async_trait::async_trait;
use bytes::Bytes;
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
    fn operations(&self) -> &'static [&'static str] {
        &["create", "get"]
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
        let expected = Description { name: "orders", type_name: "bindings.fake", version: "v1", capabilities };
        assert_eq!(host.describe().collect::<Vec<_>>(), [expected], "{direction:?}");
        assert_eq!(host.inputs().len(), inputs, "{direction:?}");
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
