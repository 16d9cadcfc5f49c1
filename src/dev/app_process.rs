//! The user's app as a child process.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};

/// What the app finds in its environment.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) app_id: &'a str,
    pub(super) app_port: Option<u16>,
    pub(super) sidecar: SocketAddr,
    pub(super) kinesis: &'a str,
    pub(super) dynamodb: &'a str,
}

/// A running app; killed if this is dropped.
#[derive(Debug)]
pub(super) struct AppProcess {
    child: Child,
    program: String,
}

impl AppProcess {
    /// Starts the command with the variables that Dapr's CLI sets, and the AWS SDKs' own for the embedded services.
    pub(super) fn start(command: &[String], surroundings: &Surroundings<'_>) -> std::io::Result<Option<Self>> {
        let Some((program, arguments)) = command.split_first() else { return Ok(None) };
        let mut process = Command::new(program);
        // A process group of its own: Ctrl-C goes to bindd alone, which drains its inputs before it stops the app.
        process.args(arguments).kill_on_drop(true).process_group(0).env("APP_ID", surroundings.app_id);
        process.env("DAPR_HTTP_PORT", surroundings.sidecar.port().to_string());
        process.env("DAPR_HTTP_ENDPOINT", format!("http://{}", surroundings.sidecar));
        if let Some(port) = surroundings.app_port {
            process.env("APP_PORT", port.to_string());
        }
        process.env("AWS_ENDPOINT_URL_KINESIS", surroundings.kinesis);
        process.env("AWS_ENDPOINT_URL_DYNAMODB", surroundings.dynamodb);
        process.env("AWS_REGION", super::stage::REGION);
        process.env("AWS_ACCESS_KEY_ID", super::stage::ACCESS_KEY);
        process.env("AWS_SECRET_ACCESS_KEY", super::stage::ACCESS_KEY);
        Ok(Some(Self { child: process.spawn()?, program: program.clone() }))
    }

    /// Waits until the app ends by itself. Cancel-safe.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks the app to end (SIGTERM), and kills it after `grace`.
    pub(super) async fn stop(mut self, grace: Duration) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
            && let Err(error) = rustix::process::kill_process_group(id, rustix::process::Signal::TERM)
        {
            tracing::debug!(%error, "app had ended already");
        }
        match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(Ok(status)) => tracing::info!(program = self.program, %status, "app ended"),
            Ok(Err(error)) => tracing::warn!(program = self.program, %error, "app could not be waited for"),
            Err(_) => self.kill(grace).await,
        }
    }

    async fn kill(&mut self, grace: Duration) {
        tracing::warn!(program = self.program, ?grace, "app did not end in time and was killed");
        if let Err(error) = self.child.kill().await {
            tracing::warn!(program = self.program, %error, "app could not be killed");
        }
    }
}
