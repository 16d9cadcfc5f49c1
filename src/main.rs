//! bindd: arguments, runtime, exit code.

use bindd::domain::Stop;
use bindd::program::{self, Ending};
use bindd::runtime::{Governed, Signals};
use bindd::settings::{self, Command};
use std::io::Write;
use std::process::ExitCode;

/// A request costs about a tenth less CPU than with the allocator of glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = match settings::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(usage) => return leave(&usage.into()),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = command.worker_threads() {
        builder.worker_threads(threads.get());
    }
    match builder.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(govern(command));
            // A name lookup that hangs in its thread must not hold up the exit.
            runtime.shutdown_background();
            code
        }
        Err(error) => leave(&Ending::failed(&format!("the runtime could not be started: {error}"))),
    }
}

async fn govern(command: Command) -> ExitCode {
    let stop = Stop::new();
    match Signals::listen() {
        Ok(signals) => match signals.govern(&stop, Box::pin(program::perform(command, &stop))).await {
            Governed::Finished(ending) => leave(&ending),
            Governed::CutShort(signal) => ExitCode::from(signal.exit_code()),
        },
        Err(error) => leave(&Ending::failed(&format!("signals cannot be listened to: {error}"))),
    }
}

/// A closed terminal is no reason to fail: there is nobody left to tell.
fn leave(ending: &Ending) -> ExitCode {
    let (complaint, output) = (ending.complaint.trim_end(), ending.output.trim_end());
    if !complaint.is_empty() {
        drop(writeln!(std::io::stderr(), "{complaint}"));
    }
    if !output.is_empty() {
        drop(writeln!(std::io::stdout(), "{output}"));
    }
    ExitCode::from(ending.code)
}
