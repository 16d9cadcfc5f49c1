//! What the kernel says about a process. Linux only.

use crate::Failure;
use std::time::Duration;

/// `USER_HZ`, which Linux fixes for what it tells programs (proc(5)).
const TICKS_PER_SECOND: u64 = 100;

/// CPU time used so far, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces; fields are counted after its bracket, where the state is the first.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let tick = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Ok(Duration::from_millis((tick(11) + tick(12)) * 1_000 / TICKS_PER_SECOND))
}

/// Memory in use, in MB of 10^6 bytes.
pub(crate) fn rss(pid: u32) -> Result<f64, Failure> {
    status(pid, "VmRSS:")
}

fn status(pid: u32, field: &str) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field in status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024.0 / 1e6)
}
