//! Starts embedded services, sidecar and app, and stops them in reverse order.

use super::app_process::{AppEnv, AppProcess};
use super::emulators::{Emulators, EmulatorsError};
use crate::daemon::{self, LoadedFiles, Shutdown, StartError};
use crate::domain::Stop;
use crate::embedded::EmbeddedSettings;
use crate::settings::DevSettings;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

/// How long the app may take to exit after the sidecar.
const APP_GRACE: Duration = Duration::from_secs(5);

/// `bindd dev` could not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error(transparent)]
    Emulators(#[from] EmulatorsError),
    #[error(transparent)]
    Start(#[from] StartError),
    /// The app's command.
    #[error("the app `{program}` could not be started: {source}; check the command after `--`")]
    App { program: String, source: std::io::Error },
}

/// Runs until a signal arrives, `POST /v1.0/shutdown` is called, or the app exits.
///
/// # Errors
/// When a part could not start; parts that had started are stopped first.
pub async fn run(settings: DevSettings, stop: &Stop) -> Result<Shutdown, DevError> {
    let mut files = Box::pin(daemon::load(&settings.run)).await?;
    let emulators = Emulators::start(EmbeddedSettings {
        keep: settings.keep.clone(),
        kinesis_port: settings.kinesis_port.unwrap_or(0),
        dynamodb_port: settings.dynamodb_port.unwrap_or(0),
        ..EmbeddedSettings::default()
    })
    .await?;
    let (kinesis, dynamodb) = (emulators.aws().kinesis_url(), emulators.aws().dynamodb_url());
    tracing::info!(kinesis, dynamodb, "embedded services started");
    let outcome = match emulators.prepare(&mut files.components).await {
        Ok(()) => sidecar_and_app(&settings, files, &emulators, stop).await,
        Err(error) => Err(error.into()),
    };
    emulators.stop().await;
    outcome
}

async fn sidecar_and_app(
    settings: &DevSettings,
    files: LoadedFiles,
    emulators: &Emulators,
    stop: &Stop,
) -> Result<Shutdown, DevError> {
    let prepare = Arc::new(emulators.endpoints());
    let running = daemon::start_prepared(&settings.run, files, Some(prepare)).await?;
    let env = AppEnv {
        app_id: &settings.run.app_id,
        app_port: settings.run.app.as_ref().map(|app| app.port),
        sidecar: running.http_address(),
        grpc: running.grpc_address(),
        kinesis: &emulators.aws().kinesis_url(),
        dynamodb: &emulators.aws().dynamodb_url(),
    };
    let mut app = match AppProcess::start(&settings.command, &env) {
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
                match &status {
                    Ok(status) if status.success() => tracing::info!(%status, "app exited, so the sidecar stops"),
                    Ok(status) => tracing::error!(%status, "app exited, so the sidecar stops"),
                    Err(error) => tracing::error!(%error, "app could not be waited for, so the sidecar stops"),
                }
                end.finish();
                let shutdown = serving.await;
                // A failed app gives a failed exit code, for scripts.
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
