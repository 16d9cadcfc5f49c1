//! Puts numbered records, one of each key at a time, until it is stopped.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use bindd::testing::until;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

const KEYS: usize = 16;

#[derive(Debug)]
pub(crate) struct Load {
    put: Arc<Mutex<BTreeMap<String, usize>>>,
    pace: watch::Sender<Option<Duration>>,
    task: JoinSet<()>,
}

impl Load {
    /// Puts a record of each of 16 keys in each `pace`, straight to the service.
    pub(crate) fn start(client: Client, stream: &'static str, pace: Duration) -> Self {
        let put: Arc<Mutex<BTreeMap<_, _>>> =
            Arc::new(Mutex::new((0..KEYS).map(|key| (format!("key-{key}"), 0)).collect()));
        let (pace, mut paces) = watch::channel(Some(pace));
        let (mut task, counts) = (JoinSet::new(), Arc::clone(&put));
        task.spawn(async move {
            loop {
                let Some(pace) = *paces.borrow_and_update() else { return };
                let mut ticks = tokio::time::interval(pace);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !paces.has_changed().unwrap_or(true) {
                    ticks.tick().await;
                    put_round(&client, stream, &counts).await;
                }
            }
        });
        Self { put, pace, task }
    }

    pub(crate) fn set_pace(&self, pace: Duration) {
        self.pace.send_replace(Some(pace));
    }

    /// The number of records of each key so far.
    pub(crate) fn put(&self) -> BTreeMap<String, usize> {
        self.put.lock().unwrap().clone()
    }

    /// Waits until so many more records of each key were put.
    pub(crate) async fn until_more(&self, count: usize) {
        let before = self.put();
        until("more records to be put", async || {
            self.put().iter().all(|(key, now)| *now >= before[key] + count).then_some(())
        })
        .await;
    }

    pub(crate) async fn stop(&mut self) -> BTreeMap<String, usize> {
        self.pace.send_replace(None);
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
        self.put()
    }
}

/// The next record of each key. A rejected one comes again in the next round, before its followers.
async fn put_round(client: &Client, stream: &str, counts: &Mutex<BTreeMap<String, usize>>) {
    let round = counts.lock().unwrap().clone();
    let entries = round.iter().map(|(key, number)| {
        let data = Blob::new(format!("{key} {number}"));
        PutRecordsRequestEntry::builder().partition_key(key).data(data).build().unwrap()
    });
    let call = client.put_records().stream_name(stream).set_records(Some(entries.collect()));
    // The service refuses while it reshards; nothing is stored then.
    let Ok(response) = call.send().await else { return };
    let mut counts = counts.lock().unwrap();
    for (key, result) in round.keys().zip(response.records()) {
        *counts.get_mut(key).unwrap() += usize::from(result.sequence_number().is_some());
    }
}
