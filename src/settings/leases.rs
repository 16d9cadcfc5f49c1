//! The settings of `bindd leases`.

use crate::bindings::kinesis::parse_timestamp;
use crate::domain::{RecordPosition, ShardId, Timestamp};
use std::path::PathBuf;

/// A number of seconds or milliseconds since 1970 has no more digits; sequence numbers have 56.
const MAX_TIME_DIGITS: usize = 13;

/// Settings of `bindd leases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasesSettings {
    pub table: LeaseTableSource,
    pub action: LeasesAction,
    /// A PEM file with additional certificate authorities for calls to AWS (environment variable `AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
}

/// Which lease table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseTableSource {
    /// That of an input in component files, with the connection of that component.
    Component {
        /// Files and folders; never empty.
        paths: Vec<PathBuf>,
        /// Name of the component; `None` is the only input.
        component: Option<String>,
        /// The default name of a lease table contains it.
        app_id: Option<String>,
        namespace: Option<String>,
    },
    /// One by name, with the credentials that the AWS SDK finds.
    Table { name: String, region: Option<String>, endpoint: Option<String> },
}

/// What to do with the leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeasesAction {
    List {
        json: bool,
    },
    Seek {
        shards: ShardSelection,
        to: SeekTarget,
        /// Whether shards that were read to their end are moved too.
        include_ended: bool,
        /// Whether the owner is not waited for.
        force: bool,
        dry_run: bool,
    },
    Release {
        shards: ShardSelection,
        /// Whether the owner is not waited for.
        force: bool,
        dry_run: bool,
    },
    Export {
        /// `None` is standard output.
        file: Option<PathBuf>,
    },
    Import {
        from: ImportSource,
        /// Whether checkpoints may be moved back.
        move_back: bool,
        dry_run: bool,
    },
}

/// Where `import` takes leases from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportSource {
    /// A file of `export`.
    File(PathBuf),
    /// A lease table of daprd; `force`: even if daprd still holds leases.
    Dapr { table: String, force: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardSelection {
    All,
    One(ShardId),
}

/// Where reading continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeekTarget {
    /// The oldest record in the shard.
    TrimHorizon,
    /// Records that arrive from now on.
    Latest,
    /// Records that arrived at this time or later.
    Time(Timestamp),
    /// The record after this one.
    After(RecordPosition),
}

/// Reads `trim_horizon`, `latest`, a time as in `initialTimestamp`, or a sequence number, also with a sub-sequence number
/// (`SEQUENCE/SUB`).
pub(super) fn seek_target(text: &str) -> Result<SeekTarget, String> {
    if text.eq_ignore_ascii_case("trim_horizon") {
        return Ok(SeekTarget::TrimHorizon);
    }
    if text.eq_ignore_ascii_case("latest") {
        return Ok(SeekTarget::Latest);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if (!is_number || text.len() <= MAX_TIME_DIGITS)
        && let Some(moment) = parse_timestamp(text)
    {
        return Ok(SeekTarget::Time(moment));
    }
    let (sequence, sub_sequence) = text.split_once('/').unwrap_or((text, "0"));
    match (sequence.parse(), sub_sequence.parse()) {
        (Ok(sequence), Ok(sub_sequence)) => Ok(SeekTarget::After(RecordPosition { sequence, sub_sequence })),
        (Ok(_) | Err(_), _) => Err(format!(
            "`{text}` is no position; write trim_horizon, latest, a time such as 2026-01-31T08:00:00Z, or the sequence number \
             of the last record that is not to come again"
        )),
    }
}
