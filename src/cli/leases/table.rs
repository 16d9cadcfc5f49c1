//! Leases as a table for a terminal.

use super::line::{checkpoint_text, state};
use crate::domain::{HashKeyRange, Lease, ShardId, WorkerId};

const COLUMNS: usize = 9;
/// Hash keys have 128 bits; their upper 16 tell shards apart well enough for a reader.
const SHOWN_SHIFT: u32 = 112;

/// A heading, a row for each lease, and how many there are in each state.
pub(super) fn text(table: &str, leases: &[Lease]) -> String {
    let heading = ["SHARD", "STATE", "OWNER", "CHECKPOINT", "COUNTER", "START", "HASH KEYS", "PARENTS", "CHILDREN"]
        .map(str::to_owned);
    let rows: Vec<[String; COLUMNS]> = std::iter::once(heading).chain(leases.iter().map(row)).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    let count = |wanted: &str| leases.iter().filter(|lease| state(lease) == wanted).count();
    let [held, handoff, free, ended] = ["held", "handoff", "free", "ended"].map(count);
    text + &format!("table {table}: {held} held, {handoff} in a handoff, {free} free, {ended} ended\n")
}

fn row(lease: &Lease) -> [String; COLUMNS] {
    let owner = match (&lease.owner, &lease.handoff_from) {
        (Some(owner), Some(from)) => format!("{from} -> {owner}"),
        (owner, from) => owner.as_ref().or(from.as_ref()).map_or("-", WorkerId::as_str).to_owned(),
    };
    [
        lease.shard.to_string(),
        state(lease).to_owned(),
        owner,
        checkpoint_text(&lease.checkpoint),
        lease.counter.value().to_string(),
        lease.start_at.map_or_else(|| "-".to_owned(), |moment| moment.to_string()),
        lease.hash_range.map_or_else(|| "-".to_owned(), hash_keys),
        names(&lease.parents),
        names(&lease.children),
    ]
}

/// The first 16 bits of both ends in hexadecimal digits, such as `0000-7fff`.
fn hash_keys(range: HashKeyRange) -> String {
    format!("{:04x}-{:04x}", range.start >> SHOWN_SHIFT, range.end >> SHOWN_SHIFT)
}

fn names(shards: &[ShardId]) -> String {
    if shards.is_empty() {
        return "-".to_owned();
    }
    shards.iter().map(ShardId::as_str).collect::<Vec<_>>().join(",")
}
