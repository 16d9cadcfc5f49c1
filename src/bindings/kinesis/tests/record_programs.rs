//! Keys and the end of a batch, on the thread that is right for the record.

use super::super::super::shaping::MAX_INLINE;
use super::*;
use bytes::Bytes;
use futures_util::FutureExt;
use std::borrow::Cow;

fn programs(partition_key: &str, hash_key: &str, flush: Option<&str>) -> RecordPrograms {
    let expression = |text: &str| Expression::compile(text).unwrap();
    let sources = Sources {
        partition_key: KeySource::Expression(expression(partition_key)),
        explicit_hash_key: HashKeySource::Expression(expression(hash_key)),
        flush: flush.map(expression),
    };
    RecordPrograms { sources: Arc::new(sources), place: RunPlace::default() }
}

fn item(data: String, key: Option<&'static str>, hash: Option<&'static str>) -> Item<'static> {
    Item { data: Bytes::from(data), partition_key: key.map(Cow::Borrowed), explicit_hash_key: hash.map(Cow::Borrowed) }
}

fn found(read: Result<Read, BindingError>) -> (String, Option<u128>, Option<bool>) {
    let (keys, ends_batch) = read.unwrap();
    (keys.partition.unwrap().as_str().to_owned(), keys.explicit_hash, ends_batch.map(Result::unwrap))
}

#[test]
fn large_records_and_slow_programs_run_on_a_thread_for_blocking_work() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let programs = programs(".k + $metadata.tenant", ".x | length", Some(".last"));
        let metadata: Metadata = [("tenant".to_owned(), "-acme".to_owned())].into_iter().collect();
        for (size, is_slow, is_elsewhere) in [(MAX_INLINE, false, true), (5, true, true), (5, false, false)] {
            // The only such thread is busy.
            let (release, held) = std::sync::mpsc::channel::<()>();
            let other = tokio::task::spawn_blocking(move || held.recv().is_err());
            programs.place.set_slow(is_slow);
            let item = item(format!(r#"{{"k":"a","last":1,"x":"{}"}}"#, "y".repeat(size)), None, None);
            let mut reading = std::pin::pin!(programs.read(&item, &metadata, PayloadForm::Text));
            let first = reading.as_mut().now_or_never();
            assert_eq!(first.is_none(), is_elsewhere, "this thread is free meanwhile");
            drop(release);
            assert!(other.await.unwrap());
            let read = match first {
                Some(read) => read,
                None => reading.await,
            };
            assert_eq!(found(read), ("a-acme".to_owned(), Some(size as u128), Some(true)));
        }
    });
}

#[tokio::test]
async fn what_the_request_gives_is_not_read_from_the_data() {
    let metadata = Metadata::default();
    let large = "z".repeat(MAX_INLINE);
    let own = item(large, Some("mine"), Some("7"));
    let programs = programs(".k", ".h", None);
    let read = programs.read(&own, &metadata, PayloadForm::Text).now_or_never();
    assert_eq!(found(read.unwrap()), ("mine".to_owned(), Some(7), None), "at once, although it is large and no JSON");
    let failed = programs.read(&item("[]".to_owned(), None, None), &metadata, PayloadForm::Text).await;
    assert!(failed.unwrap_err().message().contains("`partitionKeyExpression` failed"));
}
