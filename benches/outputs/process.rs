//! Child processes, and what the system says about them.

use crate::Failure;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// `USER_HZ`, which Linux fixes for the values in `/proc` (proc(5)).
const TICKS_PER_SECOND: u64 = 100;

/// This benchmark once more, to be given a hidden subcommand.
pub(crate) fn child_of_this_program() -> Result<Command, Failure> {
    Ok(child_process(std::env::current_exe()?))
}

/// A program without input that ends with its handle.
pub(crate) fn child_process(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// CPU time that a process has used, user and system. Linux only.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name may hold spaces; fields are counted after its closing bracket.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 1_000 / TICKS_PER_SECOND))
}

/// Resident memory of a process in MB of 10^6 bytes. Linux only.
pub(crate) fn resident_memory(pid: u32) -> Result<f64, Failure> {
    memory(pid, "VmRSS:")
}

/// A field of `/proc/<pid>/status` in MB of 10^6 bytes.
pub(crate) fn memory(pid: u32, field: &str) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no memory in the status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024.0 / 1e6)
}
