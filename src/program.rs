//! What each command does, and what the process leaves: texts and an exit code.

use crate::cli::{check, policy};
use crate::domain::Stop;
use crate::settings::{Command, PolicySettings, Settings, UsageError, WaitSettings};
use crate::{daemon, http, telemetry};

/// Exit code of a run that failed.
const FAILED: u8 = 1;
/// Exit code of wrong usage.
const MISUSED: u8 = 2;

/// What the process leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// For standard output; may be empty.
    pub output: String,
    /// For standard error; may be empty.
    pub complaint: String,
    /// The exit code; 0 when all is well.
    pub code: u8,
}

impl Ending {
    /// All is well, and there is nothing to say.
    fn well() -> Self {
        Self::default()
    }

    /// Failed, for this reason.
    #[must_use]
    pub fn failed(reason: &impl std::fmt::Display) -> Self {
        Self::refused(reason, FAILED)
    }

    fn refused(reason: &impl std::fmt::Display, code: u8) -> Self {
        Self { complaint: format!("bindd: {reason}"), code, ..Self::default() }
    }
}

impl From<UsageError> for Ending {
    /// Help and version are output; wrong usage is a complaint.
    fn from(usage: UsageError) -> Self {
        match usage.code {
            0 => Self { output: usage.text, ..Self::default() },
            code => Self::refused(&usage.text, code),
        }
    }
}

/// Does what the command line asks, until it is done or `stop` asks for the end.
pub async fn perform(command: Command, stop: &Stop) -> Ending {
    match command {
        Command::Run(settings) => match log_as(&settings) {
            Ok(()) => ended(run(&settings, stop).await),
            Err(refused) => refused,
        },
        Command::Check(settings) => reported(check::run(&settings)),
        Command::Probe(settings) => reported(Box::pin(check::connect(settings)).await),
        Command::Policy(settings) => policed(&settings),
        Command::Wait(settings) => waited(settings, stop).await,
        #[cfg(feature = "embedded")]
        Command::Demo(settings) => match start_logging(&settings.log_filter, telemetry::LogFormat::Text) {
            Ok(()) => ended(crate::demo::run(settings, stop).await),
            Err(refused) => refused,
        },
        #[cfg(feature = "embedded")]
        Command::Dev(settings) => match log_as(&settings.run) {
            Ok(()) => ended(crate::dev::run(*settings, stop).await),
            Err(refused) => refused,
        },
    }
}

async fn run(settings: &Settings, stop: &Stop) -> Result<daemon::Shutdown, daemon::StartError> {
    let components = daemon::load(settings)?;
    Ok(daemon::start(settings, components).await?.run_until(stop).await)
}

fn reported(report: check::Report) -> Ending {
    let code = if report.is_sound { 0 } else { FAILED };
    Ending { output: report.text, code, ..Ending::default() }
}

fn policed(settings: &PolicySettings) -> Ending {
    let print = policy::run(settings);
    let code = if print.policy.is_some() { 0 } else { FAILED };
    // Apart from the policy, which is meant to be piped.
    Ending { output: print.policy.unwrap_or_default(), complaint: print.notes, code }
}

async fn waited(settings: WaitSettings, stop: &Stop) -> Ending {
    match http::wait_until_outbound_ready(settings.address, stop).await {
        Ok(()) => {
            Ending { output: format!("the sidecar at {} is ready for outputs", settings.address), ..Ending::well() }
        }
        Err(error) => Ending::failed(&error),
    }
}

fn ended<E: std::fmt::Display>(outcome: Result<daemon::Shutdown, E>) -> Ending {
    match outcome {
        Ok(daemon::Shutdown::Clean) => Ending::well(),
        Ok(daemon::Shutdown::Cut) => Ending { code: FAILED, ..Ending::default() },
        Err(error) => Ending::failed(&error),
    }
}

fn log_as(settings: &Settings) -> Result<(), Ending> {
    let format = if settings.log_json { telemetry::LogFormat::Json } else { telemetry::LogFormat::Text };
    start_logging(&settings.log_filter, format)?;
    for flag in &settings.unused_flags {
        tracing::warn!(flag, "flag of daprd has no meaning here and was ignored");
    }
    for notice in &settings.notices {
        tracing::warn!("{notice}");
    }
    Ok(())
}

fn start_logging(filter: &str, format: telemetry::LogFormat) -> Result<(), Ending> {
    telemetry::init_logging(filter, format).map_err(|error| Ending::refused(&error, MISUSED))
}
