//! From settings to a running sidecar with its embedded services, and back down.

use super::app_process::{AppProcess, Surroundings};
use super::stage::{Stage, StageError};
use crate::bindings::Checked;
use crate::daemon::{self, Shutdown, StartError};
use crate::domain::Stop;
use crate::embedded::EmbeddedSettings;
use crate::settings::DevSettings;
use std::process::ExitStatus;
use std::time::Duration;

/// How long the app may take to end after the sidecar.
const APP_GRACE: Duration = Duration::from_secs(5);

/// `bindd dev` could not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The embedded services.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The sidecar.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The app's command.
    #[error("the app `{program}` could not be started: {source}; check the command after `--`")]
    App {
        /// The program named.
        program: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// Runs until a signal, `POST /v1.0/shutdown`, or the end of the app.
///
/// # Errors
/// When something could not be started; what had been started is stopped first.
pub async fn run(settings: DevSettings, stop: &Stop) -> Result<Shutdown, DevError> {
    let mut components = daemon::load(&settings.run)?;
    let stage = Stage::start(EmbeddedSettings {
        keep: settings.keep.clone(),
        kinesis_port: settings.kinesis_port.unwrap_or(0),
        dynamodb_port: settings.dynamodb_port.unwrap_or(0),
        ..EmbeddedSettings::default()
    })
    .await?;
    let (kinesis, dynamodb) = (stage.aws().kinesis_url(), stage.aws().dynamodb_url());
    tracing::info!(kinesis, dynamodb, "embedded services started");
    let outcome = match stage.prepare(&mut components).await {
        Ok(()) => sidecar_and_app(&settings, components, &stage, stop).await,
        Err(error) => Err(error.into()),
    };
    stage.stop().await;
    outcome
}

async fn sidecar_and_app(
    settings: &DevSettings,
    components: Vec<Checked>,
    stage: &Stage,
    stop: &Stop,
) -> Result<Shutdown, DevError> {
    let running = daemon::start(&settings.run, components).await?;
    let surroundings = Surroundings {
        app_id: &settings.run.app_id,
        app_port: settings.run.app.as_ref().map(|app| app.port),
        sidecar: running.http_address(),
        kinesis: &stage.aws().kinesis_url(),
        dynamodb: &stage.aws().dynamodb_url(),
    };
    let mut app = match AppProcess::start(&settings.command, &surroundings) {
        Ok(app) => app,
        Err(source) => {
            let at_once = Stop::new();
            at_once.finish();
            running.run_until(&at_once).await;
            let program = settings.command.first().cloned().unwrap_or_default();
            return Err(DevError::App { program, source });
        }
    };
    let end = stop.child();
    let shutdown = {
        let serving = running.run_until(&end);
        tokio::pin!(serving);
        tokio::select! {
            shutdown = &mut serving => shutdown,
            status = ended(&mut app) => {
                tracing::info!(?status, "app ended, so the sidecar stops too");
                end.finish();
                let shutdown = serving.await;
                // Whoever runs this in a script learns from the exit code that the app failed.
                if status.is_ok_and(|status| status.success()) { shutdown } else { Shutdown::Aborted }
            }
        }
    };
    if let Some(app) = app {
        app.stop(APP_GRACE).await;
    }
    Ok(shutdown)
}

async fn ended(app: &mut Option<AppProcess>) -> std::io::Result<ExitStatus> {
    match app {
        Some(app) => app.ended().await,
        None => std::future::pending().await,
    }
}
