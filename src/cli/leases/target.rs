//! Which lease table, and the connection to it.

use super::line::ImportedLease;
use crate::aws::lease_table::{LeaseRows, LeaseTable};
use crate::aws::{self, Connection, ConnectionSettings};
use crate::bindings::kinesis::{AdoptedLease, adopt};
use crate::bindings::secretstores::{self, StoreOptions};
use crate::bindings::{CheckResult, Checked, Spec, check, kinesis};
use crate::domain::{ComponentName, FailureKind, LeaseError, LeaseStore as _, Timestamp};
use crate::manifest::{LoadRequest, ProcessEnvironment, read};
use crate::settings::LeaseTableSource;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Attempts of a call may take 5 s.
const CALL_TIME: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Target {
    pub(super) leases: LeaseTable,
    pub(super) table: String,
    connection: Connection,
    /// The stream of the component, name or ARN.
    pub(super) stream: Option<String>,
}

impl Target {
    pub(super) async fn rows(&self) -> Result<LeaseRows, String> {
        self.leases.rows().await.map_err(|error| match error.kind() {
            FailureKind::NotFound => format!(
                "there is no lease table `{}` here; look at region, account and endpoint, and at --app-id if the file names \
                 neither `leaseTable` nor `consumerName`. A sidecar creates the table when it first reads the stream",
                self.table
            ),
            _ => described(&error),
        })
    }

    /// No rows if there is no table.
    pub(super) async fn rows_if_any(&self) -> Result<LeaseRows, String> {
        match self.leases.rows().await {
            Err(error) if error.kind() == FailureKind::NotFound => Ok(LeaseRows::default()),
            Err(error) => Err(described(&error)),
            Ok(rows) => Ok(rows),
        }
    }

    pub(super) async fn rows_or_create(&self) -> Result<LeaseRows, String> {
        match self.leases.rows().await {
            Err(error) if error.kind() == FailureKind::NotFound => {
                self.leases.prepare().await.map_err(|error| described(&error))?;
                self.rows().await
            }
            Err(error) => Err(described(&error)),
            Ok(rows) => Ok(rows),
        }
    }
}

impl Target {
    /// The leases of a table of daprd, which is in the same account and region as the own one.
    pub(super) async fn dapr_leases(&self, table: String, force: bool) -> Result<Vec<ImportedLease>, String> {
        if table == self.table {
            return Err(format!(
                "`{table}` cannot be the table of daprd and the own one, as they have different formats; name the own one by \
                 --table, or in `leaseTable` of the component"
            ));
        }
        let source = LeaseTable::new(&self.connection, table, CALL_TIME);
        let rows = source.dapr_rows().await.map_err(|error| described(&error))?;
        let adopted = adopt(&rows, now(), force)
            .map_err(|runs| format!("{runs}. --force takes the positions over all the same; nothing was changed"))?;
        Ok(adopted.into_iter().map(|AdoptedLease { lease, children }| ImportedLease { lease, children }).collect())
    }
}

#[expect(clippy::disallowed_methods, reason = "arrival times of records and leases of daprd are wall-clock times")]
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The error with what to do next.
pub(super) fn described(error: &LeaseError) -> String {
    let advice = match error.kind() {
        FailureKind::Denied => "; allow the command what the sidecar may do with this table (`bindd policy` prints it)",
        FailureKind::Throttled | FailureKind::Transient | FailureKind::TimedOut => {
            "; try again, the command may be repeated"
        }
        FailureKind::Unavailable => "; look at the credentials: `bindd check --connect` tries them",
        FailureKind::Caller
        | FailureKind::TooLarge
        | FailureKind::NotFound
        | FailureKind::Conflict
        | FailureKind::Permanent
        | FailureKind::Unsupported
        | FailureKind::Closed => "",
    };
    format!("{error}{advice}")
}

/// Finds the table and connects to its service. Sends nothing to DynamoDB.
pub(super) async fn find(source: LeaseTableSource, ca_bundle: Option<&Path>) -> Result<Target, String> {
    let advice = match source {
        LeaseTableSource::Table { .. } => "; with --table, region and endpoint are --region and --endpoint",
        LeaseTableSource::Component { .. } => "",
    };
    let (mut connection, table, stream) = match source {
        LeaseTableSource::Table { name, region, endpoint } => {
            (ConnectionSettings { region, endpoint, ..ConnectionSettings::default() }, name, None)
        }
        LeaseTableSource::Component { paths, component, app_id, namespace } => {
            let request = LoadRequest {
                paths: &paths,
                app_id: app_id.as_deref(),
                namespace: namespace.as_deref(),
                environment: &ProcessEnvironment,
            };
            let stores = StoreOptions { ca_bundle, ..StoreOptions::default() };
            let loaded = Box::pin(secretstores::load(read(&request), stores)).await;
            of_component(choose(check(loaded), component.as_deref())?, app_id.as_deref())?
        }
    };
    // The command must fail at once without credentials, and not wait for them.
    connection.fail_fast = true;
    if connection.ca_bundle.is_none() {
        connection.ca_bundle = ca_bundle.map(Path::to_owned);
    }
    let connected = Box::pin(aws::connect(&connection)).await;
    let connected =
        connected.map_err(|error| format!("no connection to lease table `{table}`: {}{advice}", error.message()))?;
    let leases = LeaseTable::new(&connected, table.clone(), CALL_TIME);
    Ok(Target { leases, table, connection: connected, stream })
}

/// The input that is meant: the one of this name, or the only one.
fn choose(result: CheckResult, name: Option<&str>) -> Result<(ComponentName, kinesis::Spec), String> {
    let inputs: Vec<_> = result.components.into_iter().filter_map(input).collect();
    let names = || {
        let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) }
    };
    let faults =
        if result.faults.is_empty() { String::new() } else { format!("; files have faults:\n{}", result.faults) };
    match name {
        Some(name) => {
            let problem = format!("no component `{name}` reads a Kinesis stream; {}{faults}", names());
            inputs.into_iter().find(|(found, _)| found.as_str() == name).ok_or(problem)
        }
        None if inputs.len() == 1 => inputs.into_iter().next().ok_or_else(String::new),
        None => {
            Err(format!("name the component with --component; of those that read a Kinesis stream {}{faults}", names()))
        }
    }
}

fn input(checked: Checked) -> Option<(ComponentName, kinesis::Spec)> {
    match checked.spec {
        Spec::Kinesis(spec) if spec.direction.has_input() => Some((checked.name, *spec)),
        Spec::Kinesis(_)
        | Spec::DynamoDb(_)
        | Spec::Cron(_)
        | Spec::Http(_)
        | Spec::LocalStorage(_)
        | Spec::Pluggable(_) => None,
    }
}

type TableOfInput = (ConnectionSettings, String, Option<String>);

fn of_component((name, spec): (ComponentName, kinesis::Spec), app_id: Option<&str>) -> Result<TableOfInput, String> {
    let has_name = spec.input.lease_table.is_some() || spec.input.consumer_name.is_some();
    let app_id = match app_id {
        Some(app_id) => app_id,
        None if has_name => "",
        None => {
            return Err(format!(
                "give --app-id: `{name}` names neither `leaseTable` nor `consumerName`, so its lease table is APP-ID-{name}"
            ));
        }
    };
    let consumer = spec.input.consumer(app_id, &name);
    let table = spec.input.lease_table(&consumer).to_owned();
    let endpoint = spec.input.lease_endpoint.clone().or_else(|| spec.connection.endpoint.clone());
    Ok((ConnectionSettings { endpoint, ..spec.connection }, table, Some(spec.stream.to_string())))
}
