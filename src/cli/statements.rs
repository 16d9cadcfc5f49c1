//! The least IAM policy under which components can work. Pure: from checked files to JSON.
//!
//! What is asked for is what the adapters in `aws` call; the names of the actions are those of AWS's Service
//! Authorization Reference for Kinesis Data Streams, DynamoDB and STS.

use crate::aws::Partition;
use crate::bindings::dynamodb::{self, Operation};
use crate::bindings::kinesis::{self, Mode, default_consumer};
use crate::bindings::{Checked, Spec};
use serde_json::{Value, json};
use std::collections::HashSet;

/// What the files do not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyScope<'a> {
    /// Names lease tables and consumers where a file names none (`--app-id`).
    pub(crate) app_id: &'a str,
    /// The region of components whose file names none; all regions without it.
    pub(crate) region: Option<&'a str>,
}

/// The policy, as IAM takes it: one statement for each component, purpose and resource. Identities that assume a role get
/// a statement for `sts:AssumeRole`; it belongs to the identity that they begin with, not to the role.
#[must_use]
pub(crate) fn policy(components: &[Checked], scope: PolicyScope<'_>) -> Value {
    let mut statements = Statements::default();
    for checked in components {
        match &checked.spec {
            Spec::Kinesis(spec) => of_kinesis(&mut statements, checked, spec, scope),
            Spec::DynamoDb(spec) => of_dynamodb(&mut statements, checked, spec, scope),
        }
        let roles = &checked.connection().identity.roles;
        if let Some(first) = roles.first() {
            statements.add(checked, "AssumeRole", &["sts:AssumeRole"], std::slice::from_ref(first));
        }
    }
    json!({ "Version": "2012-10-17", "Statement": statements.list })
}

/// The operations that a DynamoDB component offers, by their names on the wire.
pub(super) fn operations(spec: &dynamodb::Spec) -> Vec<&'static str> {
    spec.options.allowed.iter().map(|operation| operation.as_str()).collect()
}

#[derive(Debug, Default)]
struct Statements {
    list: Vec<Value>,
    sids: HashSet<String>,
}

impl Statements {
    fn add(&mut self, checked: &Checked, purpose: &str, actions: &[&str], resources: &[String]) {
        let plain = words(checked.name.as_str());
        let mut sid = format!("{plain}{purpose}");
        let mut number = 2;
        // Names that differ only in signs lose the difference here; a Sid must be unique.
        while !self.sids.insert(sid.clone()) {
            sid = format!("{plain}{purpose}{number}");
            number += 1;
        }
        self.list.push(json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources }));
    }
}

/// A name as a Sid allows it: letters and digits, each word with a capital.
fn words(name: &str) -> String {
    let mut text = String::new();
    for word in name.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.extend(letters);
    }
    text
}

fn of_kinesis(statements: &mut Statements, checked: &Checked, spec: &kinesis::Spec, scope: PolicyScope<'_>) {
    let place = Place::of(checked, scope);
    let stream = spec
        .stream
        .arn()
        .map_or_else(|| place.arn("kinesis", &format!("stream/{}", spec.stream.name())), str::to_owned);
    if spec.direction.has_output() {
        let mut actions = vec!["kinesis:PutRecord", "kinesis:PutRecords"];
        if spec.output.wants_shards() {
            actions.push("kinesis:ListShards");
        }
        statements.add(checked, "Write", &actions, std::slice::from_ref(&stream));
    }
    if !spec.direction.has_input() {
        return;
    }
    let consumer = spec.consumer_name.clone().unwrap_or_else(|| default_consumer(scope.app_id, &checked.name));
    // DescribeStreamSummary tells whether the leases belong to the stream.
    match spec.mode {
        Mode::Shared => {
            let actions = [
                "kinesis:ListShards",
                "kinesis:GetShardIterator",
                "kinesis:GetRecords",
                "kinesis:DescribeStreamSummary",
            ];
            statements.add(checked, "Read", &actions, std::slice::from_ref(&stream));
        }
        Mode::Extended => {
            let actions = ["kinesis:ListShards", "kinesis:RegisterStreamConsumer", "kinesis:DescribeStreamSummary"];
            statements.add(checked, "Read", &actions, std::slice::from_ref(&stream));
            // A consumer's ARN ends in the moment of its registration.
            let consumer = format!("{stream}/consumer/{consumer}:*");
            let actions = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
            statements.add(checked, "Subscribe", &actions, &[consumer, stream]);
        }
    }
    let table = spec.lease_table.as_deref().unwrap_or(&consumer);
    // The stream's ARN may name another account than the one that has the lease table: that of the credentials.
    statements.add(checked, "Leases", &LEASE_ACTIONS, &[place.arn("dynamodb", &format!("table/{table}"))]);
}

const LEASE_ACTIONS: [&str; 7] = [
    "dynamodb:CreateTable",
    "dynamodb:DescribeTable",
    "dynamodb:Scan",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
];

fn of_dynamodb(statements: &mut Statements, checked: &Checked, spec: &dynamodb::Spec, scope: PolicyScope<'_>) {
    let table = if spec.table.starts_with("arn:") {
        spec.table.clone()
    } else {
        Place::of(checked, scope).arn("dynamodb", &format!("table/{}", spec.table))
    };
    let offered = &spec.options.allowed;
    let mut actions: Vec<&str> = offered.iter().flat_map(|operation| actions_of(*operation)).copied().collect();
    if offered.contains(&Operation::Exec) {
        actions.extend(spec.options.statements.values().flat_map(|text| actions_of_statement(text)));
    }
    actions.sort_unstable();
    actions.dedup();
    if actions.is_empty() {
        return;
    }
    let mut resources = vec![table.clone()];
    if actions.iter().any(|action| READS_OF_INDEXES.contains(action)) {
        resources.push(format!("{table}/index/*"));
    }
    statements.add(checked, "Items", &actions, &resources);
}

/// What may also be asked of an index.
const READS_OF_INDEXES: [&str; 3] = ["dynamodb:Query", "dynamodb:Scan", "dynamodb:PartiQLSelect"];

/// What a statement calls, by its first word. One that begins otherwise may be of a kind that DynamoDB learns later; so
/// that it works, it gets all.
fn actions_of_statement(text: &str) -> &'static [&'static str] {
    match text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "select" => &["dynamodb:PartiQLSelect"],
        "insert" => &["dynamodb:PartiQLInsert"],
        "update" => &["dynamodb:PartiQLUpdate"],
        "delete" => &["dynamodb:PartiQLDelete"],
        _ => &["dynamodb:PartiQLDelete", "dynamodb:PartiQLInsert", "dynamodb:PartiQLSelect", "dynamodb:PartiQLUpdate"],
    }
}

/// What an operation calls. A transaction is authorised by the actions of its parts; for `exec`, see
/// [`actions_of_statement`].
const fn actions_of(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::Create => &["dynamodb:PutItem"],
        Operation::Get | Operation::TransactGet => &["dynamodb:GetItem"],
        Operation::Update => &["dynamodb:UpdateItem"],
        Operation::Delete => &["dynamodb:DeleteItem"],
        Operation::Query => &["dynamodb:Query"],
        Operation::List => &["dynamodb:Scan"],
        // Entries of a refused batch are sent alone to find the culprit.
        Operation::BulkCreate => &["dynamodb:BatchWriteItem", "dynamodb:PutItem"],
        Operation::BulkDelete => &["dynamodb:BatchWriteItem", "dynamodb:DeleteItem"],
        Operation::BulkGet => &["dynamodb:BatchGetItem"],
        Operation::Transact => {
            &["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"]
        }
        Operation::Exec => &[],
    }
}

/// Partition and region, as far as they are known. A name does not tell the account; only ARNs do.
#[derive(Debug, Clone)]
struct Place {
    partition: &'static str,
    region: String,
}

impl Place {
    fn of(checked: &Checked, scope: PolicyScope<'_>) -> Self {
        let region = checked.connection().region.as_deref().or(scope.region);
        Self {
            partition: region.and_then(Partition::from_region).unwrap_or(Partition::Aws).as_str(),
            region: region.unwrap_or("*").to_owned(),
        }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:*:{resource}", self.partition, self.region)
    }
}

#[cfg(test)]
#[path = "tests/statements.rs"]
mod tests;
