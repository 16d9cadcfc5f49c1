//! Builds the settings of `bindd leases`.

use super::environment::{Environment, variable};
use super::lease_flags::{LeasesCommand, LeasesFlags, ShardFlags, TableFlags};
use super::leases::{ImportSource, LeaseTableSource, LeasesAction, LeasesSettings, SeekTarget, ShardSelection};
use super::model::UsageError;
use crate::domain::ShardId;
use std::path::PathBuf;

pub(super) fn leases(
    flags: LeasesFlags,
    ca_bundle: Option<PathBuf>,
    environment: Environment<'_>,
) -> Result<LeasesSettings, UsageError> {
    let (table, action) = match flags.command {
        LeasesCommand::List(flags) => (flags.table, LeasesAction::List { json: flags.json }),
        LeasesCommand::Seek(flags) => {
            let force = flags.shards.force;
            let (shards, dry_run) = selection(flags.shards)?;
            if matches!((&shards, &flags.to), (ShardSelection::All, SeekTarget::After(_))) {
                return Err(UsageError::wrong(
                    "--to with a sequence number needs a shard instead of --all: a sequence number belongs to one shard",
                ));
            }
            let action =
                LeasesAction::Seek { shards, to: flags.to, include_ended: flags.include_ended, force, dry_run };
            (flags.table, action)
        }
        LeasesCommand::Release(flags) => {
            let force = flags.shards.force;
            let (shards, dry_run) = selection(flags.shards)?;
            (flags.table, LeasesAction::Release { shards, force, dry_run })
        }
        LeasesCommand::Export(flags) => (flags.table, LeasesAction::Export { file: flags.file }),
        LeasesCommand::Import(flags) => {
            let from = match (flags.file, flags.from_dapr.filter(|table| !table.is_empty())) {
                (Some(file), _) => ImportSource::File(file),
                (None, Some(table)) => ImportSource::Dapr { table, force: flags.force },
                (None, None) => return Err(UsageError::wrong("--from-dapr is empty: name the lease table of daprd")),
            };
            (flags.table, LeasesAction::Import { from, move_back: flags.move_back, dry_run: flags.dry_run })
        }
    };
    Ok(LeasesSettings { table: source(table, environment)?, action, ca_bundle })
}

/// Which shards, and whether nothing is to be written.
fn selection(flags: ShardFlags) -> Result<(ShardSelection, bool), UsageError> {
    match flags.shard.filter(|shard| !shard.is_empty()) {
        Some(shard) => Ok((ShardSelection::One(ShardId::new(shard)), flags.dry_run)),
        None if flags.all => Ok((ShardSelection::All, flags.dry_run)),
        None => Err(UsageError::wrong("the name of the shard is empty: name a shard, or give --all")),
    }
}

fn source(flags: TableFlags, environment: Environment<'_>) -> Result<LeaseTableSource, UsageError> {
    if let Some(name) = flags.table {
        return Ok(LeaseTableSource::Table { name, region: flags.region, endpoint: flags.endpoint });
    }
    if flags.resources_path.is_empty() {
        return Err(UsageError::wrong(
            "say which lease table: give --resources-path with the component files of the sidecar, or --table with its name",
        ));
    }
    let namespace = match flags.namespace {
        Some(flag) => Some(flag).filter(|flag| !flag.is_empty()),
        None => variable(environment, "NAMESPACE")?,
    };
    Ok(LeaseTableSource::Component {
        paths: flags.resources_path,
        component: flags.component,
        app_id: flags.app_id,
        namespace,
    })
}
