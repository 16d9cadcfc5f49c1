//! What a client of each SDK must be able to do with a sidecar. The embedded services tell what arrived.

use crate::environment::{Environment, Sidecar};
use crate::ports::{NotReady, Ports};
use crate::program::{Fact, Program};
use aws_sdk_dynamodb::types::AttributeValue;
use bindd::daemon::Shutdown;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::process::Command;

const ORDER: &str = r#"{"id":"order-1","note":"größe ✓","total":12.5}"#;
const MANY: usize = 40;

/// The API at which an SDK looks for its sidecar before the first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    Http,
    Grpc,
}

/// A program that makes all calls, and how its SDK does so.
pub(crate) struct Client {
    pub(crate) command: Command,
    pub(crate) waits: Waits,
    /// How the SDK shows "not found" and "invalid argument".
    pub(crate) codes: [Value; 2],
    /// Whether the SDK can send data that is no JSON.
    pub(crate) sends_bytes: bool,
    /// Whether the SDK can add metadata of its own.
    pub(crate) sets_metadata: bool,
    /// Whether the sidecar runs with `--dapr-compat`.
    pub(crate) dapr_compat: bool,
}

impl Client {
    /// A client that can do everything.
    pub(crate) const fn new(command: Command, waits: Waits, codes: [Value; 2]) -> Self {
        Self { command, waits, codes, sends_bytes: true, sets_metadata: true, dapr_compat: false }
    }

    /// Starts the program before its sidecar, and checks all that it did.
    pub(crate) async fn check(mut self) {
        let env = Environment::start().await;
        env.stream("orders", 1).await;
        env.table("orders").await;
        env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
        env.dynamodb_component("orders-table", &[("table", "orders")]);
        let ports = Ports::reserve();
        let not_ready = NotReady::listen(if self.waits == Waits::Http { ports.http() } else { ports.grpc() });

        let program = Program::start(ports.set(&mut self.command));
        match self.waits {
            Waits::Http => not_ready.answer_once().await,
            Waits::Grpc => not_ready.close_once().await,
        }
        let mut settings = ports.settings(&env, None);
        settings.dapr_compat = self.dapr_compat;
        settings.strict_dapr_errors = self.dapr_compat;
        let sidecar = Box::pin(Sidecar::start(&settings)).await.unwrap();
        let (shutdown, facts) = tokio::join!(Box::pin(sidecar.serve()), program.finish());

        assert_eq!(shutdown, Shutdown::Clean);
        self.assert_facts(&facts);
        self.assert_arrived(&env).await;
    }

    fn assert_facts(&self, facts: &[Fact]) {
        let result = |check: &str| {
            let fact = facts.iter().find(|fact| fact.check == check);
            &fact.unwrap_or_else(|| panic!("{check} is missing in {facts:#?}")).result
        };
        assert_eq!(result("item"), &serde_json::from_str::<Value>(ORDER).unwrap());

        let [not_found, invalid] = &self.codes;
        for (check, code, text) in [
            ("unknown binding", not_found, "error invoking output binding orders-lost: couldn't find output binding"),
            ("unknown operation", invalid, "binding orders-out does not support operation explode"),
            ("unusable item", invalid, "error invoking output binding orders-table: "),
        ] {
            let failure = result(check);
            assert_eq!(&failure["code"], code, "{check}: {failure}");
            assert!(failure["text"].as_str().unwrap().contains(text), "{check}: {failure}");
        }

        let metadata = result("metadata");
        assert_eq!(metadata["id"], "shop", "{metadata}");
        assert_eq!(metadata["extended"]["team"] == "orders", self.sets_metadata, "{metadata}");
        let components = metadata["components"].as_array().unwrap();
        let mut shown: Vec<_> =
            components.iter().map(|each| json!([each["name"], each["type"], each["version"]])).collect();
        shown.sort_by_key(Value::to_string);
        let expected = [["orders-out", "bindings.aws.kinesis", "v1"], ["orders-table", "bindings.aws.dynamodb", "v1"]];
        assert_eq!(Value::from(shown), json!(expected), "{metadata}");

        let last = facts.last().map(|fact| fact.check.as_str());
        assert_eq!((facts[0].check.as_str(), last), ("started", Some("shutdown")), "{facts:#?}");
    }

    async fn assert_arrived(&self, env: &Environment) {
        let records = env.records("orders").await;
        let of_key = |key: &str| -> Vec<&[u8]> {
            let records = records.iter().filter(|record| record.partition_key.as_deref() == Some(key));
            records.map(|record| record.data.as_ref()).collect()
        };
        assert_eq!(of_key("customer-7"), [ORDER.as_bytes()]);
        let ids =
            of_key("many").into_iter().map(|data| serde_json::from_slice::<Value>(data).unwrap()["id"].to_string());
        assert_eq!(ids.collect::<BTreeSet<_>>().len(), MANY);
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let expected: &[&[u8]] = if self.sends_bytes { &[&bytes] } else { &[] };
        assert_eq!(of_key("bytes"), expected);
        assert_eq!(records.len(), 1 + MANY + expected.len());

        let key = AttributeValue::S("order-1".to_owned());
        let item = env.dynamodb.get_item().table_name("orders").key("id", key).send().await.unwrap().item.unwrap();
        assert_eq!(item["note"], AttributeValue::S("größe ✓".to_owned()));
        assert_eq!(item["total"], AttributeValue::N("12.5".to_owned()));
    }
}
