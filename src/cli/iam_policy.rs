//! The smallest IAM policy under which components can work. Pure: from checked files to JSON.
//!
//! It allows the operations that `aws` and `bindings` call; the names of the actions are those of AWS's Service
//! Authorization Reference for Kinesis Data Streams, DynamoDB, STS, Secrets Manager and Systems Manager.

use super::iam_secrets::add_secrets;
use super::iam_statements::{Location, PolicyScope, Statements};
use crate::bindings::dynamodb::{self, Operation};
use crate::bindings::kinesis::{self, Fallback, Mode};
use crate::bindings::{Checked, Spec};
use crate::manifest::WantedSecret;
use serde_json::{Value, json};

/// The policy, as IAM takes it: one statement for each component, purpose and resource. A component or secret store that
/// assumes a role gets a statement for `sts:AssumeRole`, which the first identity needs, not the role.
#[must_use]
pub(crate) fn policy(components: &[Checked], secrets: &[WantedSecret], scope: PolicyScope<'_>) -> Value {
    let mut statements = Statements::default();
    for checked in components {
        match &checked.spec {
            Spec::Kinesis(spec) => add_kinesis(&mut statements, checked, spec, scope),
            Spec::DynamoDb(spec) => add_dynamodb(&mut statements, checked, spec, scope),
            Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => {}
        }
        if let Some(connection) = checked.connection() {
            statements.add_role(&checked.name, connection);
        }
    }
    add_secrets(&mut statements, secrets, scope);
    json!({ "Version": "2012-10-17", "Statement": statements.into_list() })
}

fn add_kinesis(statements: &mut Statements, checked: &Checked, spec: &kinesis::Spec, scope: PolicyScope<'_>) {
    let location = Location::new(checked.connection(), scope);
    let stream = spec
        .stream
        .arn()
        .map_or_else(|| location.arn("kinesis", &format!("stream/{}", spec.stream.name())), str::to_owned);
    if spec.direction.has_output() {
        let mut actions = vec!["kinesis:PutRecord", "kinesis:PutRecords"];
        if spec.output.uses_shard_list() {
            actions.push("kinesis:ListShards");
        }
        statements.add(&checked.name, "Write", &actions, std::slice::from_ref(&stream));
    }
    if !spec.direction.has_input() {
        return;
    }
    let consumer = spec.input.consumer(scope.app_id, &checked.name);
    // DescribeStreamSummary shows whether the leases belong to this stream or to an earlier one of the same name.
    let mut actions = vec!["kinesis:ListShards"];
    if spec.input.mode == Mode::Shared || spec.input.fallback == Fallback::Shared {
        actions.extend(["kinesis:GetShardIterator", "kinesis:GetRecords"]);
    }
    if spec.input.mode == Mode::Extended && spec.input.create_consumer {
        actions.push("kinesis:RegisterStreamConsumer");
    }
    actions.push("kinesis:DescribeStreamSummary");
    statements.add(&checked.name, "Read", &actions, std::slice::from_ref(&stream));
    match spec.input.mode {
        Mode::Shared => {}
        Mode::Extended => {
            // A consumer's ARN ends in the time of its registration.
            let consumer = format!("{stream}/consumer/{consumer}:*");
            let actions = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
            statements.add(&checked.name, "Subscribe", &actions, &[consumer, stream]);
        }
    }
    let table = spec.input.lease_table(&consumer);
    // The lease table is in the account of the credentials, which may not be that of the stream's ARN.
    statements.add(&checked.name, "Leases", &LEASE_ACTIONS, &[location.arn("dynamodb", &format!("table/{table}"))]);
    if let Some(table) = &spec.input.dapr_table {
        statements.add(
            &checked.name,
            "DaprLeases",
            &["dynamodb:Scan"],
            &[location.arn("dynamodb", &format!("table/{table}"))],
        );
    }
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

fn add_dynamodb(statements: &mut Statements, checked: &Checked, spec: &dynamodb::Spec, scope: PolicyScope<'_>) {
    let table = if spec.table.starts_with("arn:") {
        spec.table.clone()
    } else {
        Location::new(checked.connection(), scope).arn("dynamodb", &format!("table/{}", spec.table))
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
    if actions.iter().any(|action| INDEX_READS.contains(action)) {
        resources.push(format!("{table}/index/*"));
    }
    statements.add(&checked.name, "Items", &actions, &resources);
}

/// Operations that may also read an index.
const INDEX_READS: [&str; 3] = ["dynamodb:Query", "dynamodb:Scan", "dynamodb:PartiQLSelect"];

/// The actions of a PartiQL statement, by its first word. An unknown word gets all of them, because DynamoDB may
/// support new statements.
fn actions_of_statement(text: &str) -> &'static [&'static str] {
    match text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "select" => &["dynamodb:PartiQLSelect"],
        "insert" => &["dynamodb:PartiQLInsert"],
        "update" => &["dynamodb:PartiQLUpdate"],
        "delete" => &["dynamodb:PartiQLDelete"],
        _ => &["dynamodb:PartiQLDelete", "dynamodb:PartiQLInsert", "dynamodb:PartiQLSelect", "dynamodb:PartiQLUpdate"],
    }
}

/// The actions of an operation. IAM checks a transaction by the actions of its parts. For `exec` see
/// [`actions_of_statement`].
const fn actions_of(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::Create => &["dynamodb:PutItem"],
        Operation::Get | Operation::TransactGet => &["dynamodb:GetItem"],
        Operation::Update => &["dynamodb:UpdateItem"],
        Operation::Delete => &["dynamodb:DeleteItem"],
        Operation::Query => &["dynamodb:Query"],
        Operation::List => &["dynamodb:Scan"],
        // The entries of a refused batch are sent one by one.
        Operation::BulkCreate => &["dynamodb:BatchWriteItem", "dynamodb:PutItem"],
        Operation::BulkDelete => &["dynamodb:BatchWriteItem", "dynamodb:DeleteItem"],
        Operation::BulkGet => &["dynamodb:BatchGetItem"],
        Operation::Transact => {
            &["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"]
        }
        Operation::Exec => &[],
    }
}

#[cfg(test)]
#[path = "tests/iam_policy.rs"]
mod tests;
