//! bindd: arguments, runtime, exit code.

use bindd::domain::Stop;
use bindd::program::{self, ExitReport};
use bindd::runtime::{self, RunOutcome, Signals};
use bindd::settings::{self, Command};
use std::io::Write;
use std::process::ExitCode;

/// A request costs about a tenth less CPU than with the allocator of glibc.
#[global_allocator]
static ALLOCATOR: pprof_alloc::PprofAlloc = bindd::profiling::allocator();

fn main() -> ExitCode {
    // A restart by a tool that also rotates logs may send it at once.
    runtime::survive_hangups();
    let command = match settings::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(usage) => return exit_with(&usage.into()),
    };
    bindd::profiling::sample_heap(command.has_profiles());
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = command.worker_threads() {
        builder.worker_threads(threads.get());
    }
    match builder.enable_all().build() {
        Ok(workers) => {
            let code = workers.block_on(run(command));
            // Without it, a DNS lookup that hangs in a blocking thread would delay the exit.
            workers.shutdown_background();
            code
        }
        Err(error) => exit_with(&ExitReport::failed(&format!("the runtime could not be started: {error}"))),
    }
}

async fn run(command: Command) -> ExitCode {
    let (stop, is_dapr_compat) = (Stop::new(), command.is_dapr_compat());
    match Signals::listen() {
        Ok(signals) => match signals.run_until_signal(&stop, Box::pin(program::execute(command, &stop))).await {
            RunOutcome::Completed(report) => exit_with(&report),
            // As daprd.
            RunOutcome::Interrupted(_) if is_dapr_compat => ExitCode::FAILURE,
            RunOutcome::Interrupted(signal) => ExitCode::from(signal.exit_code()),
        },
        Err(error) => exit_with(&ExitReport::failed(&format!("signal handlers could not be set: {error}"))),
    }
}

/// Prints the report. Write errors are ignored: the terminal may be closed, and then they could not be printed either.
fn exit_with(report: &ExitReport) -> ExitCode {
    let (error, output) = (report.error.trim_end(), report.output.trim_end());
    if !error.is_empty() {
        drop(writeln!(std::io::stderr(), "{error}"));
    }
    if !output.is_empty() {
        drop(writeln!(std::io::stdout(), "{output}"));
    }
    ExitCode::from(report.code)
}
