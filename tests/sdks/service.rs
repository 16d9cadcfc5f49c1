//! What an app built with each SDK must receive: every record with its payload, in order for each key, and again after it
//! refused it.

use crate::environment::{Environment, Sidecar};
use crate::ports::{APP_TOKEN, Ports};
use crate::program::{Fact, Program};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use base64_simd::STANDARD;
use bindd::daemon::Shutdown;
use bindd::settings::AppProtocol;
use std::collections::{BTreeMap, HashMap};
use tokio::process::Command;

const KEYS: usize = 5;
const RECORDS: usize = 60;
/// The app refuses the first delivery of this record.
const REFUSED: usize = 23;

/// An app that receives the events of the binding `orders`.
pub(crate) struct Service {
    pub(crate) command: Command,
    pub(crate) protocol: AppProtocol,
    /// Of the requests over HTTP; `auto` tells bytes from JSON.
    pub(crate) content_type: &'static str,
    /// Whether the SDK gives an app data that is no JSON.
    pub(crate) takes_bytes: bool,
    /// Whether it gives an app the metadata of an event.
    pub(crate) shows_metadata: bool,
}

/// The payloads of a stream in the order in which they were put, by partition key.
type Payloads = BTreeMap<String, Vec<Vec<u8>>>;

impl Service {
    /// A service that shows an app everything.
    pub(crate) const fn new(command: Command, protocol: AppProtocol) -> Self {
        Self { command, protocol, content_type: "application/json", takes_bytes: true, shows_metadata: true }
    }

    pub(crate) async fn check(mut self) {
        let env = Environment::start().await;
        env.stream("orders", 2).await;
        // Without `direction` the app must say that it wants the events.
        env.kinesis_component(
            "orders",
            &[
                ("streamName", "orders"),
                ("consumerName", "orders-in"),
                ("initialPosition", "trim_horizon"),
                ("leaseDuration", "1m"),
                ("contentType", self.content_type),
            ],
        );
        let (payloads, last) = self.put(&env).await;
        let ports = Ports::reserve();
        let settings = ports.settings(&env, Some(self.protocol));
        let sidecar = Box::pin(Sidecar::start(&settings)).await.unwrap();

        let mut program = Program::start(ports.set(&mut self.command));
        let count = payloads.values().map(Vec::len).sum();
        program.until("all records to be accepted", |facts| accepted(facts).len() >= count).await;
        assert_eq!(Box::pin(sidecar.stop()).await, Shutdown::Clean);

        let facts = program.facts();
        assert_received(&facts, &payloads);
        if self.shows_metadata {
            assert_metadata(&facts, &payloads);
        }
        assert_eq!(checkpoints(&env).await, last, "each record was acknowledged");
    }

    /// Puts the records; returns them, and the last sequence number of each shard.
    async fn put(&self, env: &Environment) -> (Payloads, HashMap<String, String>) {
        let (mut payloads, mut last) = (Payloads::new(), HashMap::new());
        let orders = (0..RECORDS).map(|number| {
            let id = if number == REFUSED { "refused-once".to_owned() } else { format!("order-{number}") };
            format!(r#"{{"id":"{id}","note":"größe \"✓\"","total":{number}.5,"lines":[{{"sku":null}}]}}"#).into_bytes()
        });
        let bytes = self.takes_bytes.then(|| (0..=u8::MAX).collect());
        for (number, payload) in orders.chain(bytes).enumerate() {
            let key = format!("key-{}", number % KEYS);
            let put = env.kinesis.put_record().stream_name("orders").data(Blob::new(payload.as_slice()));
            let put = put.partition_key(&key).send().await.unwrap();
            last.insert(put.shard_id, put.sequence_number);
            payloads.entry(key).or_default().push(payload);
        }
        assert_eq!(last.len(), 2, "each shard was meant to get records");
        (payloads, last)
    }
}

fn body(fact: &Fact) -> Vec<u8> {
    STANDARD.decode_to_vec(fact.result["body"].as_str().unwrap()).unwrap()
}

fn accepted(facts: &[Fact]) -> Vec<&Fact> {
    facts.iter().filter(|fact| fact.check == "event" && fact.result["accepted"] == true).collect()
}

/// Every record was accepted once, those of a key in order, and one was refused before.
fn assert_received(facts: &[Fact], payloads: &Payloads) {
    let order: Vec<Vec<u8>> = accepted(facts).into_iter().map(body).collect();
    let at = |payload: &Vec<u8>| {
        let places: Vec<usize> = (0..order.len()).filter(|place| order[*place] == *payload).collect();
        assert_eq!(places.len(), 1, "{} was accepted {} times", String::from_utf8_lossy(payload), places.len());
        places[0]
    };
    for (key, payloads) in payloads {
        assert!(payloads.iter().map(at).is_sorted(), "the records of {key} are out of order");
    }
    let refused: Vec<&Fact> = facts.iter().filter(|fact| fact.result["accepted"] == false).collect();
    let refused: Vec<Vec<u8>> = refused.into_iter().map(body).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(order.contains(&refused[0]));
}

/// Every event tells its partition key and its attempt, and has the token of the app.
fn assert_metadata(facts: &[Fact], payloads: &Payloads) {
    for fact in facts.iter().filter(|fact| fact.check == "event") {
        let metadata = fact.result["metadata"].as_object().unwrap();
        let value = |name: &str| {
            let found = metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {metadata:?}"))
        };
        let body = body(fact);
        assert!(payloads[value("bindd-partition-key")].contains(&body), "{metadata:?}");
        let is_repeated = fact.result["accepted"] == true && body.windows(12).any(|part| part == b"refused-once");
        assert_eq!(value("bindd-attempt"), if is_repeated { "2" } else { "1" });
        assert_eq!(value("dapr-api-token"), APP_TOKEN);
    }
}

/// The checkpoint of each shard.
async fn checkpoints(env: &Environment) -> HashMap<String, String> {
    let rows = env.dynamodb.scan().table_name("orders-in").consistent_read(true).send().await.unwrap().items.unwrap();
    let text = |value: Option<&AttributeValue>| value.unwrap().as_s().unwrap().clone();
    rows.into_iter().map(|row| (text(row.get("leaseKey")), text(row.get("checkpoint")))).collect()
}
