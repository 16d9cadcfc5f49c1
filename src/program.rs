//! Executes each command. The result is what the process prints at its end, and its exit code.

use crate::cli::{check, leases, policy, trial};
use crate::domain::Stop;
use crate::settings::{Command, PolicySettings, Settings, TrySettings, UsageError, WaitSettings};
use crate::telemetry::{LogFormat, LogOutput, LogSettings};
use crate::{daemon, http, telemetry};

/// Exit code of a command that failed.
const FAILED: u8 = 1;
/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// What the process prints at its end, and its exit code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitReport {
    /// For standard output; may be empty.
    pub output: String,
    /// For standard error; may be empty.
    pub error: String,
    pub code: u8,
}

impl ExitReport {
    #[must_use]
    pub fn failed(error: &impl std::fmt::Display) -> Self {
        Self::with_error(error, FAILED)
    }

    fn with_error(error: &impl std::fmt::Display, code: u8) -> Self {
        Self { error: format!("bindd: {error}"), code, ..Self::default() }
    }
}

impl From<UsageError> for ExitReport {
    /// Help and version go to standard output, wrong usage goes to standard error.
    fn from(usage: UsageError) -> Self {
        match usage.code {
            0 => Self { output: usage.text, ..Self::default() },
            code => Self::with_error(&usage.text, code),
        }
    }
}

/// Executes the command, until it is done or `stop` requests its end.
pub async fn execute(command: Command, stop: &Stop) -> ExitReport {
    match command {
        Command::Run(settings) => match init_logging(&settings) {
            Ok(()) => shutdown_report(run(&settings, stop).await),
            Err(report) => report,
        },
        Command::Check(settings) => check_report(check::run(&settings)),
        Command::Probe(settings) => check_report(Box::pin(check::connect(settings)).await),
        Command::Policy(settings) => policy_report(&settings),
        Command::Try(settings) => try_report(settings).await,
        Command::Leases(settings) => leases_report(Box::pin(leases::run(*settings)).await),
        Command::Wait(settings) => wait_report(settings, stop).await,
        #[cfg(feature = "embedded")]
        Command::Demo(settings) => match start_logging(&demo_logging(&settings)) {
            Ok(()) => shutdown_report(crate::demo::run(settings, stop).await),
            Err(report) => report,
        },
        #[cfg(feature = "embedded")]
        Command::Dev(settings) => match init_logging(&settings.run) {
            Ok(()) => shutdown_report(Box::pin(crate::dev::run(*settings, stop)).await),
            Err(report) => report,
        },
    }
}

async fn run(settings: &Settings, stop: &Stop) -> Result<daemon::Shutdown, daemon::StartError> {
    let started = async { daemon::start(settings, Box::pin(daemon::load(settings)).await?).await };
    let running = started.await.inspect_err(|error| {
        if let Some(line) = error.fatal_line() {
            tracing::error!("{line}");
        }
    })?;
    Ok(running.run_until(stop).await)
}

fn check_report(report: check::Report) -> ExitReport {
    let code = if report.passed { 0 } else { FAILED };
    ExitReport { output: report.text, code, ..ExitReport::default() }
}

fn leases_report(report: leases::LeasesReport) -> ExitReport {
    let code = if report.is_done { 0 } else { FAILED };
    ExitReport { output: report.output, error: report.error, code }
}

/// The notes go to standard error, so that the policy can be piped.
fn policy_report(settings: &PolicySettings) -> ExitReport {
    let output = policy::run(settings);
    let code = if output.policy.is_some() { 0 } else { FAILED };
    ExitReport { output: output.policy.unwrap_or_default(), error: output.notes, code }
}

/// In a thread that may block, so that a signal ends the process while it waits for a line.
async fn try_report(settings: TrySettings) -> ExitReport {
    let trying =
        tokio::task::spawn_blocking(move || trial::run(&settings, std::io::stdin().lock(), std::io::stdout().lock()));
    match trying.await {
        Ok(report) => {
            let code = if report.passed { 0 } else { FAILED };
            ExitReport { error: report.error, code, ..ExitReport::default() }
        }
        Err(error) => ExitReport::failed(&error),
    }
}

async fn wait_report(settings: WaitSettings, stop: &Stop) -> ExitReport {
    match http::wait_until_outbound_ready(settings.address, stop).await {
        Ok(()) => {
            let output = format!("the sidecar at {} is ready for outputs", settings.address);
            ExitReport { output, ..ExitReport::default() }
        }
        // As daprd; a signal is still a failure.
        Err(error) if settings.succeeds_anyway && !stop.is_finishing() => ExitReport { error, ..ExitReport::default() },
        Err(error) => ExitReport::failed(&error),
    }
}

fn shutdown_report<E: std::fmt::Display>(result: Result<daemon::Shutdown, E>) -> ExitReport {
    match result {
        Ok(daemon::Shutdown::Clean) => ExitReport::default(),
        Ok(daemon::Shutdown::Aborted) => ExitReport { code: FAILED, ..ExitReport::default() },
        Err(error) => ExitReport::failed(&error),
    }
}

#[cfg(feature = "embedded")]
fn demo_logging(settings: &crate::settings::DemoSettings) -> LogSettings {
    LogSettings { filter: settings.log_filter.clone(), ..LogSettings::default() }
}

fn log_settings(settings: &Settings) -> LogSettings {
    let format = match (settings.log_json, settings.dapr_compat) {
        (true, _) => LogFormat::Json,
        (false, true) => LogFormat::DaprText,
        (false, false) => LogFormat::Text,
    };
    let output = match (&settings.log_file, settings.dapr_compat) {
        (Some(path), _) => LogOutput::File(path.clone()),
        (None, true) => LogOutput::Stdout,
        (None, false) => LogOutput::Stderr,
    };
    LogSettings { filter: settings.log_filter.clone(), format, output, app_id: settings.app_id.clone() }
}

fn init_logging(settings: &Settings) -> Result<(), ExitReport> {
    start_logging(&log_settings(settings))?;
    for flag in &settings.unused_flags {
        tracing::debug!(flag, "daprd flag has no effect in bindd and was ignored");
    }
    for notice in &settings.notices {
        tracing::warn!("{notice}");
    }
    Ok(())
}

fn start_logging(settings: &LogSettings) -> Result<(), ExitReport> {
    telemetry::init_logging(settings).map_err(|error| ExitReport::with_error(&error, USAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};

    #[tokio::test(start_paused = true)]
    async fn a_wait_in_vain_fails_unless_daprd_is_the_model() {
        // Bound, but without a listener.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = socket.local_addr().unwrap();
        for (succeeds_anyway, code) in [(false, FAILED), (true, 0)] {
            let report = wait_report(WaitSettings { address, succeeds_anyway }, &Stop::new()).await;
            assert_eq!(report.code, code, "{}", report.error);
            assert!(report.error.contains("was not ready after 60s"), "{}", report.error);
        }
        let stop = Stop::new();
        stop.finish();
        assert_eq!(wait_report(WaitSettings { address, succeeds_anyway: true }, &stop).await.code, FAILED, "a signal");
    }
}
