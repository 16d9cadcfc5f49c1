//! bindd: arguments, runtime, exit code.

use bindd::domain::Stop;
use bindd::runtime::{Governed, Signals};
use bindd::settings::{self, Command, PolicySettings, Settings};
use bindd::{check, daemon, policy, telemetry};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match settings::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(usage) if usage.code == 0 => return show(&usage.text, ExitCode::SUCCESS),
        Err(usage) => return complain(&usage.text, ExitCode::from(usage.code)),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(govern(command));
            // A name lookup that hangs in its thread must not hold up the exit.
            runtime.shutdown_background();
            code
        }
        Err(error) => complain(&format!("the runtime could not be started: {error}"), ExitCode::FAILURE),
    }
}

async fn govern(command: Command) -> ExitCode {
    let stop = Stop::new();
    match Signals::listen() {
        Ok(signals) => match signals.govern(&stop, Box::pin(perform(command, &stop))).await {
            Governed::Finished(code) => code,
            Governed::CutShort(signal) => ExitCode::from(signal.exit_code()),
        },
        Err(error) => complain(&format!("signals cannot be listened to: {error}"), ExitCode::FAILURE),
    }
}

async fn perform(command: Command, stop: &Stop) -> ExitCode {
    match command {
        Command::Run(settings) => {
            log_as(&settings);
            ended(run(&settings, stop).await)
        }
        Command::Check(settings) => reported(&check::run(&settings)),
        Command::Probe(settings) => reported(&Box::pin(check::connect(settings)).await),
        Command::Policy(settings) => policed(&settings),
        #[cfg(feature = "embedded")]
        Command::Demo(settings) => {
            start_logging(&settings.log_filter, telemetry::LogFormat::Text);
            ended(bindd::demo::run(settings, stop).await)
        }
        #[cfg(feature = "embedded")]
        Command::Dev(settings) => {
            log_as(&settings.run);
            ended(bindd::dev::run(*settings, stop).await)
        }
    }
}

async fn run(settings: &Settings, stop: &Stop) -> Result<daemon::Shutdown, daemon::StartError> {
    let components = daemon::load(settings)?;
    Ok(daemon::start(settings, components).await?.run_until(stop).await)
}

fn reported(report: &check::Report) -> ExitCode {
    show(&report.text, if report.is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn policed(settings: &PolicySettings) -> ExitCode {
    let print = policy::run(settings);
    // Apart from the policy, which is meant to be piped.
    drop(write!(std::io::stderr(), "{}", print.notes));
    print.policy.map_or(ExitCode::FAILURE, |policy| show(&policy, ExitCode::SUCCESS))
}

fn ended<E: std::fmt::Display>(outcome: Result<daemon::Shutdown, E>) -> ExitCode {
    match outcome {
        Ok(daemon::Shutdown::Clean) => ExitCode::SUCCESS,
        Ok(daemon::Shutdown::Cut) => ExitCode::FAILURE,
        Err(error) => complain(&error.to_string(), ExitCode::FAILURE),
    }
}

fn log_as(settings: &Settings) {
    let format = if settings.log_json { telemetry::LogFormat::Json } else { telemetry::LogFormat::Text };
    start_logging(&settings.log_filter, format);
    for flag in &settings.unused_flags {
        tracing::warn!(flag, "flag of daprd has no meaning here and was ignored");
    }
}

fn start_logging(filter: &str, format: telemetry::LogFormat) {
    if let Err(error) = telemetry::init_logging(filter, format) {
        complain(&error, ExitCode::FAILURE);
    }
}

/// A closed terminal is no reason to fail: there is nobody left to tell.
fn show(text: &str, code: ExitCode) -> ExitCode {
    drop(writeln!(std::io::stdout(), "{}", text.trim_end()));
    code
}

fn complain(text: &str, code: ExitCode) -> ExitCode {
    drop(writeln!(std::io::stderr(), "bindd: {}", text.trim_end()));
    code
}
