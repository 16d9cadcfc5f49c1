//! `bindd leases`: shows and changes the lease table of an input, also while sidecars use it.
//!
//! `target` finds the table and connects, `plan` decides what to change (without I/O), `handoff` lets the owner drain,
//! `apply` changes the lease, `line` is a lease as JSON, `table` the text for a terminal.
//!
//! Invariant: nothing is written unless every requested change was found to be allowed. A lease that a worker changes
//! meanwhile is read and decided on again.

mod apply;
mod handoff;
mod line;
mod plan;
mod table;
mod target;

use self::apply::{Eviction, Results, apply};
use self::line::LeaseLine;
use self::plan::{Plan, Refusal};
use self::target::Target;
use crate::aws::lease_table::LeaseRows;
use crate::domain::{Lease, Timestamp};
use crate::settings::{ImportSource, LeasesAction, LeasesSettings};
use std::path::Path;
use std::time::Duration;

const LATEST_MARGIN: Duration = Duration::from_secs(1);

/// What the command prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeasesReport {
    /// For standard output.
    pub output: String,
    /// For standard error; may be empty.
    pub error: String,
    /// Whether all was done that was requested; then the exit code is 0, else 1.
    pub is_done: bool,
}

impl LeasesReport {
    fn done(output: String) -> Self {
        Self { output, error: String::new(), is_done: true }
    }

    fn failed(error: impl Into<String>) -> Self {
        Self { output: String::new(), error: format!("bindd: {}", error.into()), is_done: false }
    }
}

/// Executes the command.
pub async fn run(settings: LeasesSettings) -> LeasesReport {
    match Box::pin(execute(settings)).await {
        Ok(report) => report,
        Err(error) => LeasesReport::failed(error),
    }
}

async fn execute(settings: LeasesSettings) -> Result<LeasesReport, String> {
    let target = Box::pin(target::find(settings.table, settings.ca_bundle.as_deref())).await?;
    match settings.action {
        LeasesAction::List { json } => {
            let rows = target.rows().await?;
            let output = if json { to_json(&target, &rows.leases) } else { table::text(&target.table, &rows.leases) };
            Ok(with_unreadable(output, &rows))
        }
        LeasesAction::Export { file } => {
            let rows = target.rows().await?;
            let lines: String = rows.leases.iter().map(|lease| LeaseLine::from(lease).to_json() + "\n").collect();
            let output = match file {
                None => lines,
                Some(path) => write(&path, &lines, rows.leases.len())?,
            };
            Ok(with_unreadable(output, &rows))
        }
        LeasesAction::Seek { shards, to, include_ended, force, dry_run } => {
            let rows = readable(target.rows().await?)?;
            let plan = plan::seek(&rows, &shards, &plan::Seek { to, include_ended, latest: latest_start() });
            change(&target, plan, dry_run, Eviction::new(force)).await
        }
        LeasesAction::Release { shards, force, dry_run } => {
            let rows = readable(target.rows().await?)?;
            change(&target, plan::release(&rows, &shards), dry_run, Eviction::new(force)).await
        }
        LeasesAction::Import { from, move_back, dry_run } => {
            let lines = match from {
                ImportSource::File(file) => line::read(&file)?,
                ImportSource::Dapr { table, force } => target.dapr_leases(table, force).await?,
            };
            let rows = readable(if dry_run { target.rows_if_any().await } else { target.rows_or_create().await }?)?;
            let plan = plan::import(&lines, &rows, &plan::Import { move_back, stream: target.stream.as_deref() });
            change(&target, plan, dry_run, Eviction::AtOnce).await
        }
    }
}

/// From when on a shard is read that starts at LATEST: now, less the margin of new leases, since the clocks of the hosts of
/// Kinesis differ.
fn latest_start() -> Timestamp {
    let margin = i64::try_from(LATEST_MARGIN.as_millis()).unwrap_or_default();
    Timestamp::from_millis(target::now().as_millis().saturating_sub(margin))
}

fn to_json(target: &Target, leases: &[Lease]) -> String {
    let leases: Vec<LeaseLine> = leases.iter().map(LeaseLine::from).collect();
    format!("{:#}\n", serde_json::json!({ "table": target.table, "leases": leases }))
}

fn write(path: &Path, lines: &str, count: usize) -> Result<String, String> {
    std::fs::write(path, lines).map_err(|error| {
        format!("{} could not be written: {error}; name another file, or leave --file out", path.display())
    })?;
    Ok(format!("{count} leases written to {}\n", path.display()))
}

/// A row that cannot be read is a failure of the command, but no reason to hide the others.
fn with_unreadable(output: String, rows: &LeaseRows) -> LeasesReport {
    let error = rows.unreadable.iter().map(|problem| format!("bindd: {problem}\n")).collect();
    LeasesReport { output, error, is_done: rows.unreadable.is_empty() }
}

/// No lease is changed in a table that cannot be read completely: it may belong to something else.
fn readable(rows: LeaseRows) -> Result<Vec<Lease>, String> {
    match rows.unreadable.first() {
        None => Ok(rows.leases),
        Some(problem) => Err(format!("{problem}; nothing was changed: correct or delete this row first")),
    }
}

async fn change(
    target: &Target,
    plan: Result<Plan, Vec<Refusal>>,
    dry_run: bool,
    eviction: Eviction,
) -> Result<LeasesReport, String> {
    let plan = match plan {
        Ok(plan) => plan,
        Err(refusals) => {
            let error = refusals.iter().map(|refusal| format!("bindd: {refusal}\n")).collect();
            return Ok(LeasesReport { output: "nothing was changed\n".to_owned(), error, is_done: false });
        }
    };
    if dry_run {
        let lines: String = plan.lines().map(|line| format!("would change  {line}\n")).collect();
        let kept: String = plan.kept.iter().map(|line| format!("unchanged     {line}\n")).collect();
        return Ok(LeasesReport::done(format!("{lines}{kept}dry run: nothing was changed\n")));
    }
    let Results { done, failed } = apply(target, &plan, eviction).await;
    let mut output: String = done.iter().map(|line| format!("changed       {line}\n")).collect();
    output.extend(plan.kept.iter().map(|line| format!("unchanged     {line}\n")));
    output.push_str(&format!("{} changed, {} unchanged, {} failed\n", done.len(), plan.kept.len(), failed.len()));
    let error = failed.iter().map(|failure| format!("bindd: {failure}\n")).collect();
    Ok(LeasesReport { output, error, is_done: failed.is_empty() })
}
