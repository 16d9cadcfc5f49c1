//! The CPU profile: a timer of consumed CPU time interrupts whichever thread runs, and the handler of its signal, SIGPROF,
//! notes the call stack.

use super::encoding::{Stack, Timing, cpu_profile};
use super::symbols::Program;
use rpprof::{ProfilerGuard, ProfilerGuardBuilder, UnresolvedReport};
use std::io;
use std::time::UNIX_EPOCH;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Samples per second of CPU time; Go's value.
const FREQUENCY: i32 = 100;

/// The process has one timer and one handler.
static TURN: Semaphore = Semaphore::const_new(1);

/// Why there is no CPU profile. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    #[error("cpu profiling already in use: one profile is recorded at a time; try again when the other one has ended")]
    Busy,
    #[error(
        "the profiler needs a folder for temporary files: {0}; set the environment variable TMPDIR to a folder that this \
         process may write to"
    )]
    Folder(#[source] io::Error),
    #[error("the profile could not be recorded: {0}")]
    Failed(String),
}

/// A CPU profile that is being recorded. Dropping it ends that.
pub struct CpuRecording {
    // Before the permit, since fields are dropped in this order.
    guard: ProfilerGuard<'static>,
    turn: SemaphorePermit<'static>,
}

impl std::fmt::Debug for CpuRecording {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CpuRecording").field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// Begins to record.
///
/// # Errors
/// When another profile is being recorded, or there is no folder for temporary files.
pub async fn start_cpu() -> Result<CpuRecording, CpuError> {
    let turn = TURN.try_acquire().map_err(|_| CpuError::Busy)?;
    // The first time, the unwind tables of the program are read.
    in_background(move || {
        // The profiler opens one too, for samples beyond its buffers, and fails for ever if it cannot.
        tempfile::tempfile().map_err(CpuError::Folder)?;
        let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).build().map_err(failed)?;
        Ok(CpuRecording { guard, turn })
    })
    .await
}

impl CpuRecording {
    /// Ends the recording and returns the profile, gzipped.
    ///
    /// # Errors
    /// When the samples cannot be read.
    pub async fn finish(self) -> Result<Vec<u8>, CpuError> {
        // Names are looked up in the symbols of the program.
        in_background(move || profile(&self.guard.report().build_unresolved().map_err(failed)?)).await
    }
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CpuError> + Send + 'static,
) -> Result<T, CpuError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(failed(panic)))
}

fn failed(error: impl std::fmt::Display) -> CpuError {
    CpuError::Failed(error.to_string())
}

fn profile(report: &UnresolvedReport) -> Result<Vec<u8>, CpuError> {
    // The addresses of callers are those behind their calls.
    let of_caller = |depth: usize| u64::from(depth > 0);
    let stacks = report.data.iter().map(|(frames, samples)| Stack {
        addresses: (0_usize..)
            .zip(&frames.frames)
            .map(|(depth, at)| (at.ip as u64).saturating_sub(of_caller(depth)))
            .collect(),
        thread: String::from_utf8_lossy(&frames.thread_name[..frames.thread_name_length]).into_owned(),
        samples: i64::try_from(*samples).unwrap_or(i64::MAX),
    });
    let started_at = report.timing.start_time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let timing = Timing {
        started_at: i64::try_from(started_at).unwrap_or(i64::MAX),
        duration: report.timing.duration,
        frequency: i64::from(FREQUENCY),
    };
    let program = Program::current();
    cpu_profile(&stacks.collect::<Vec<_>>(), timing, &program.path, |address| program.place(address)).map_err(failed)
}
