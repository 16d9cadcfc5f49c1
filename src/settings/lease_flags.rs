//! The flags of `bindd leases`. Their doc comments are the texts of `--help`.

use super::leases::{SeekTarget, seek_target};
use clap::{ArgAction, Args, Subcommand};
use std::path::PathBuf;

pub(super) const LEASES_EXAMPLES: &str = "\
Examples:
  bindd leases list --resources-path ./components --app-id shop
  bindd leases seek --all --to 2026-11-27T08:00:00Z --table shop-orders --dry-run
  bindd leases seek shardId-000000000000 --to trim_horizon --table shop-orders
  bindd leases release shardId-000000000000 --table shop-orders
  bindd leases export --table shop-orders --file leases.jsonl
  bindd leases import --table shop-orders-2 --file leases.jsonl --dry-run
  bindd leases import --table shop-orders-bindd --from-dapr shop-orders

Exits with 0 if all was done, 1 if something failed or was refused, 2 for wrong usage. If one shard is refused, none is
changed.";

#[derive(Debug, Args)]
pub(super) struct LeasesFlags {
    #[command(subcommand)]
    pub(super) command: LeasesCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum LeasesCommand {
    /// Print each lease: shard, state, owner, checkpoint, counter, parents, children. Changes nothing.
    #[command(args_override_self = true)]
    List(ListFlags),
    /// Move the checkpoint of one shard or of all. Sidecars need not be stopped: the owner finishes its requests and
    /// releases the lease, and the worker that takes it next reads from the new position.
    #[command(args_override_self = true)]
    Seek(SeekFlags),
    /// Make the owner of one shard or of all finish its requests and release the lease. The next worker that wants a lease
    /// takes it.
    #[command(args_override_self = true)]
    Release(ReleaseFlags),
    /// Print each lease as a line of JSON, for `import`. Changes nothing.
    #[command(args_override_self = true)]
    Export(ExportFlags),
    /// Create or move leases as a file of `export` says.
    #[command(args_override_self = true)]
    Import(ImportFlags),
}

#[derive(Debug, Args)]
pub(super) struct TableFlags {
    /// Folder or file with the component whose lease table is meant. Repeat the flag or separate paths with commas.
    #[arg(long, value_name = "PATH", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) resources_path: Vec<PathBuf>,
    /// Component whose lease table is meant [default: the only input].
    #[arg(long, value_name = "NAME")]
    pub(super) component: Option<String>,
    /// Name of the app; the default name of a lease table begins with it.
    #[arg(long, value_name = "NAME")]
    pub(super) app_id: Option<String>,
    /// Namespace of the sidecar [default: the environment variable NAMESPACE].
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// Name of the lease table, instead of --resources-path. Credentials are those of the AWS SDK's default chain.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["resources_path", "component", "app_id", "namespace"])]
    pub(super) table: Option<String>,
    /// Region of --table [default: that of the AWS SDK's default chain].
    #[arg(long, value_name = "REGION", conflicts_with = "resources_path")]
    pub(super) region: Option<String>,
    /// Endpoint of --table, such as the URL of an emulator [default: that of AWS].
    #[arg(long, value_name = "URL", conflicts_with = "resources_path")]
    pub(super) endpoint: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ShardFlags {
    /// The shard, such as shardId-000000000000.
    #[arg(value_name = "SHARD|--all", required_unless_present = "all", conflicts_with = "all")]
    pub(super) shard: Option<String>,
    /// All shards.
    #[arg(long)]
    pub(super) all: bool,
    /// Do not wait until the owner has finished its requests: it may deliver until its next renewal, at the same time as the
    /// next owner. Needed for owners that hang or are not bindd.
    #[arg(long)]
    pub(super) force: bool,
    /// Print what would change, and write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListFlags {
    #[command(flatten)]
    pub(super) table: TableFlags,
    /// Print the leases as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SeekFlags {
    #[command(flatten)]
    pub(super) shards: ShardFlags,
    /// Where reading continues: trim_horizon, latest, a time, or after SEQUENCE or SEQUENCE/SUB.
    #[arg(long, value_name = "POSITION", value_parser = seek_target)]
    pub(super) to: SeekTarget,
    /// Also move shards that were read to their end.
    #[arg(long)]
    pub(super) include_ended: bool,
    #[command(flatten)]
    pub(super) table: TableFlags,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseFlags {
    #[command(flatten)]
    pub(super) shards: ShardFlags,
    #[command(flatten)]
    pub(super) table: TableFlags,
}

#[derive(Debug, Args)]
pub(super) struct ExportFlags {
    /// File to write [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) table: TableFlags,
}

#[derive(Debug, Args)]
pub(super) struct ImportFlags {
    /// File that export wrote.
    #[arg(long, value_name = "FILE", required_unless_present = "from_dapr", conflicts_with = "from_dapr")]
    pub(super) file: Option<PathBuf>,
    /// Take the positions over from this lease table of daprd, whose name is daprd's consumerName, instead of a file.
    #[arg(long, value_name = "TABLE")]
    pub(super) from_dapr: Option<String>,
    /// With --from-dapr: also if daprd still holds leases. Records that it reads meanwhile are delivered again.
    #[arg(long, requires = "from_dapr")]
    pub(super) force: bool,
    /// Also move checkpoints back. Records after them are delivered again.
    #[arg(long)]
    pub(super) move_back: bool,
    /// Print what would change, and write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) table: TableFlags,
}
