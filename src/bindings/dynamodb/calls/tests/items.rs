use super::super::{BulkPace, BulkRead, BulkWrite, Effect, Selection, Spelling, Statement, Transaction, Walk};
use super::super::{TransactWrite, item_from_json};
use super::*;
use crate::aws::{ConnectionSettings, StaticCredentials, connect};
use crate::domain::{FailureKind, Outcome};
use crate::resilience::{Backoff, Idempotency, Retry, RetryPolicy};
use crate::telemetry::Metrics;
use std::num::NonZeroUsize;

const BACKOFF: Backoff = Backoff::millis(5, 50);

/// A table behind a connection that takes one call at a time. Nothing listens at its address.
async fn table() -> Items {
    let keys = StaticCredentials { access_key: "key".to_owned(), secret_key: "s".into(), session_token: None };
    let settings = ConnectionSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        credentials: Some(keys),
        max_connections: NonZeroUsize::new(1),
        ..ConnectionSettings::default()
    };
    let connection = connect(&settings).await.unwrap();
    Items::new(&connection, ItemsSettings::of_table("rows".to_owned()))
}

fn item() -> Item {
    item_from_json(br#"{"id":"1"}"#).unwrap()
}

fn pace(deadline: Instant, metrics: &Metrics) -> BulkPace {
    BulkPace {
        max_in_flight: 2,
        deadline,
        no_repeat_after: deadline,
        most_retries: None,
        backoff: BACKOFF,
        seed: 1,
        metrics: metrics.output("rows"),
    }
}

/// Tries until the deadline, as a request does.
async fn tried<T, E, F>(deadline: Instant, mut attempt: impl FnMut() -> F) -> BindingError
where
    F: Future<Output = Result<T, E>>,
    BindingError: From<E>,
{
    let attempt = || {
        let running = attempt();
        async move { running.await.map_err(BindingError::from) }
    };
    let policy = RetryPolicy { backoff: BACKOFF, ..RetryPolicy::default() };
    let tried = Retry::new(policy, Idempotency::Idempotent, deadline, 1).run(attempt).await;
    tried.map(|_| ()).expect_err("there is no place")
}

fn assert_not_sent(error: &BindingError) {
    assert_eq!((error.kind(), error.outcome()), (FailureKind::Throttled, Outcome::NotDone), "{error}");
    assert!(error.message().contains("`maxConnections`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_found_no_place_before_its_deadline_is_told_as_not_done() {
    let items = table().await;
    let _other = items.connection.permit().await;
    let until = Instant::now() + Duration::from_secs(2);
    let (returned, on_refusal) = (Returned::Nothing, OnRefusal::Nothing);
    let put = Put { item: item(), condition: None };
    assert_not_sent(&tried(until, || items.put(put.clone(), returned, on_refusal, until)).await);

    let until = Instant::now() + Duration::from_secs(2);
    let (change, placeholders) = ("SET a = b".to_owned(), Placeholders::default());
    let update = Update { key: item(), change, condition: None, placeholders, effect: Effect::Fixed };
    assert_not_sent(&tried(until, || items.update(update.clone(), returned, on_refusal, until)).await);

    let until = Instant::now() + Duration::from_secs(2);
    let delete = Delete { key: item(), condition: None };
    assert_not_sent(&tried(until, || items.delete(delete.clone(), returned, on_refusal, until)).await);

    let until = Instant::now() + Duration::from_secs(2);
    let writes = vec![TransactWrite::Delete(delete)];
    let (transaction, spelling) = (Transaction { writes, token: "t".to_owned(), on_refusal }, Spelling::default());
    assert_not_sent(&tried(until, || items.transact(&transaction, &spelling, until)).await);

    let until = Instant::now() + Duration::from_secs(2);
    let text = "DELETE FROM rows WHERE id = '1'".to_owned();
    let (parameters, consistency) = (Vec::new(), Consistency::Eventual);
    let statement = Statement { text, parameters, limit: None, next_token: None, consistency, on_refusal };
    assert_not_sent(&tried(until, || items.execute(statement.clone(), until)).await);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_that_found_no_place_before_its_deadline_is_told_as_not_done() {
    let items = table().await;
    let _other = items.connection.permit().await;
    let metrics = Metrics::new();
    let pace_of = || pace(Instant::now() + Duration::from_secs(2), &metrics);
    let writes = vec![BulkWrite::Put(item()), BulkWrite::Delete(item())];
    let written = items.write_many(writes, Some(vec!["id".to_owned()]), &pace_of()).await.entries;
    written.iter().for_each(|result| assert_not_sent(result.as_ref().unwrap_err()));
    let page = metrics.page().unwrap();
    assert!(page.contains(r#"bindd_output_records_total{component="rows",state="refused"} 2"#), "{page}");
    assert!(!page.contains("bindd_output_calls_total{"), "{page}");
    let read = BulkRead { most_bytes: 1_000, ..BulkRead::default() };
    assert_not_sent(&items.read_many(vec![item()], read, &pace_of()).await.entries.remove(0).unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_a_place_no_longer_than_it_may() {
    let items = table().await;
    let _other = items.connection.permit().await;
    let until = Instant::now() + Duration::from_secs(2);
    let (key, placeholders, consistency) = (item(), Placeholders::default(), Consistency::Eventual);
    let get = Get { key, projection: None, placeholders: placeholders.clone(), consistency };
    assert_not_sent(&items.get(get.clone(), until).await.unwrap_err());
    assert_not_sent(&items.transact_get(&[get], until).await.unwrap_err());
    assert_not_sent(&items.key_schema(until).await.unwrap_err());
    let walk = Walk::Scan { segment: None };
    let selection = Selection { index: None, filter: None, projection: None, placeholders, consistency, walk };
    assert_not_sent(&items.page(selection, None, 1, until).await.unwrap_err());
    assert!(Instant::now() < until);
}
