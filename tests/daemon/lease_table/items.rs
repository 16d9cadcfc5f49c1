//! Items out, through a DynamoDB component.

use super::service::{Service, TABLE};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::aws::{Item, KeySchema, ensure_table};
use bindd::bindings::{Context, LeaseTables, Registry, ShapingMemory, SharedLimits, Successions, check, connect};
use bindd::domain::{
    Binding, BindingError, BodyMemory, DataForm, DrainLimits, FailureKind, InvokeRequest, InvokeResponse, Metadata,
    Outcome, WorkerId,
};
use bindd::manifest::{Environment, LoadRequest, load};
use bindd::telemetry::{Metrics, Tracer};
use std::sync::Arc;
use std::time::Duration;

struct NoVariables;

impl Environment for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// A component that makes single attempts, over the wire that can lose replies.
async fn component(service: &Service) -> Arc<dyn Binding> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: rows}}\nspec:\n  type: bindings.aws.dynamodb\n  \
         version: v1\n  metadata:\n  - {{name: table, value: {TABLE}}}\n  - {{name: region, value: eu-central-1}}\n  \
         - {{name: accessKey, value: test}}\n  - {{name: secretKey, value: test}}\n  \
         - {{name: endpoint, value: \"{}\"}}\n  - {{name: maxRetries, value: \"0\"}}\n",
        service.endpoint
    );
    std::fs::write(folder.path().join("rows.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    let request = LoadRequest { paths: &paths, app_id: None, namespace: None, environment: &NoVariables };
    let mut result = check(load(&request));
    assert!(result.faults.is_empty(), "{}", result.faults);
    let context = Context {
        max_message_size: 4 << 20,
        bodies: BodyMemory::new(None),
        app_id: "test".to_owned(),
        worker: WorkerId::new("test"),
        ca_bundle: None,
        metrics: Metrics::new(),
        tracer: Tracer::default(),
        registry: Registry::default(),
        lease_tables: LeaseTables::default(),
        successions: Successions::default(),
        drain_limits: DrainLimits { urgent: Duration::from_secs(1), retire: Duration::from_secs(1) },
        limits: SharedLimits::default(),
        shaping_memory: ShapingMemory::default(),
    };
    connect(result.components.remove(0), &context).await.unwrap()
}

async fn create(component: &Arc<dyn Binding>, item: &[u8]) -> Result<InvokeResponse, BindingError> {
    let (operation, data) = ("create".to_owned(), item.to_vec().into());
    let request = InvokeRequest { operation, data, form: DataForm::Json, metadata: Metadata::default() };
    component.output().unwrap().invoke(request).await
}

async fn stored(service: &Service, key: &str) -> Item {
    let request = service.client.get_item().table_name(TABLE).key("id", AttributeValue::S(key.to_owned()));
    request.consistent_read(true).send().await.unwrap().item.unwrap()
}

#[tokio::test]
async fn an_item_is_stored_with_every_digit() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let rows = component(&service).await;
    let text = br#"{"id":"a","n":12345678901234567890123456789012345678,"m":{"l":[1.5e-3,-0,9.99e125,1e-130,null]}}"#;
    create(&rows, text).await.unwrap();
    let item = stored(&service, "a").await;
    assert_eq!(item["n"], AttributeValue::N("12345678901234567890123456789012345678".into()));
    let list = item["m"].as_m().unwrap()["l"].as_l().unwrap();
    assert_eq!(list[0], AttributeValue::N("0.0015".into()));
    assert_eq!(list[1], AttributeValue::N("0".into()));
    assert!(list[2].as_n().unwrap().starts_with("999") && list[4] == AttributeValue::Null(true));
}

#[tokio::test]
async fn a_put_replaces_the_item_of_the_same_key() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let rows = component(&service).await;
    for text in [r#"{"id":"a","x":1,"y":1}"#, r#"{"id":"a","x":2}"#] {
        create(&rows, text.as_bytes()).await.unwrap();
    }
    let expected = [("id", AttributeValue::S("a".into())), ("x", AttributeValue::N("2".into()))];
    let expected: Item = expected.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(stored(&service, "a").await, expected);
}

#[tokio::test]
async fn the_deepest_and_largest_items_that_bindd_accepts_are_stored() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let rows = component(&service).await;
    let deep = format!(r#"{{"id":"a","d":{}1{}}}"#, "[".repeat(31), "]".repeat(31));
    create(&rows, deep.as_bytes()).await.unwrap();
    let large = format!(r#"{{"id":"a","d":"{}"}}"#, "x".repeat(400 * 1024 - 4));
    create(&rows, large.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_refused_item_has_a_failure_kind() {
    let service = Service::start().await;
    let rows = component(&service).await;
    let item = br#"{"other":"a"}"#;
    let missing = create(&rows, item).await.unwrap_err();
    assert_eq!((missing.kind(), missing.outcome()), (FailureKind::NotFound, Outcome::NotDone));
    assert!(missing.message().contains(TABLE), "{missing}");
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    assert_eq!(create(&rows, item).await.unwrap_err().kind(), FailureKind::Caller);
}

#[tokio::test]
async fn a_lost_reply_leaves_the_outcome_unknown() {
    let service = Service::start().await;
    ensure_table(&service.connection, TABLE, &KeySchema::text("id")).await.unwrap();
    let rows = component(&service).await;
    service.lose_next_reply();
    let error = create(&rows, br#"{"id":"a"}"#).await.unwrap_err();
    assert_eq!((error.kind().may_retry(), error.outcome()), (true, Outcome::Unknown));
    assert!(stored(&service, "a").await.contains_key("id"));
}
