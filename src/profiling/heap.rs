//! The heap profile: the allocator notes the call stack of about one in 512 KiB of allocated memory.
//!
//! The allocator works before `main` does, and it decides then, by an environment variable, whether it samples. So with
//! `--enable-profiling` the process sets the variable and executes itself again; its process id stays.

use super::encoding::without_frames;
use pprof_alloc::{Allocator, DEFAULT_PPROF_SAMPLE_RATE, PPROF_SAMPLE_RATE_ENV, PprofAlloc, generate_pprof};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// The functions that note an allocation.
const OF_THE_PROFILER: &str = "backtrace::.*|<?pprof_alloc::.*";

/// Why the process could not execute itself.
static FAILURE: OnceLock<String> = OnceLock::new();

/// Why there is no heap profile. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum HeapError {
    #[error(
        "the heap is not sampled{0}: start bindd with --enable-profiling and with the environment variable \
         {PPROF_SAMPLE_RATE_ENV}={DEFAULT_PPROF_SAMPLE_RATE}"
    )]
    NotSampled(String),
    #[error("the profile could not be made: {0}")]
    Failed(String),
}

/// The allocator of the process: mimalloc, which samples nothing unless the environment variable of [`sample_heap`] is
/// set.
#[must_use]
pub const fn allocator() -> PprofAlloc {
    PprofAlloc::new().with_default(Allocator::Mimalloc).with_pprof_sample_rate_from_env(0)
}

/// Has the heap sampled if `is_wanted`, by executing the program again. Returns if that is not needed or fails; then
/// [`heap`] says so.
pub fn sample_heap(is_wanted: bool) {
    if is_wanted && sample_rate().is_none() {
        let error = execute_again();
        // It is set once, since `main` calls this once.
        drop(FAILURE.set(format!(", because the process could not execute itself again ({error})")));
    }
}

fn execute_again() -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    let rate = DEFAULT_PPROF_SAMPLE_RATE.to_string();
    Command::new(program).arg0(name).args(arguments).env(PPROF_SAMPLE_RATE_ENV, rate).exec()
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is no setting: the process sets it for itself, and the allocator reads it"
)]
fn sample_rate() -> Option<OsString> {
    std::env::var_os(PPROF_SAMPLE_RATE_ENV)
}

/// The profile since the start of the process, gzipped: allocated and live memory by call stack, estimated from the
/// samples.
///
/// # Errors
/// When the heap is not sampled.
pub async fn heap() -> Result<Vec<u8>, HeapError> {
    if sample_rate().is_none_or(|rate| rate == "0") {
        return Err(HeapError::NotSampled(FAILURE.get().cloned().unwrap_or_default()));
    }
    // Names are looked up in the symbols of the program.
    match tokio::task::spawn_blocking(profile).await {
        Ok(profile) => profile,
        Err(panic) => Err(failed(panic)),
    }
}

fn profile() -> Result<Vec<u8>, HeapError> {
    without_frames(&generate_pprof().map_err(failed)?, OF_THE_PROFILER).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> HeapError {
    HeapError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_does_not_sample_says_how_to_start_it() {
        sample_heap(false);
        let error = heap().await.unwrap_err().to_string();
        assert!(error.contains("--enable-profiling") && error.contains("PPROF_ALLOC_SAMPLE_RATE=524288"), "{error}");
    }
}
