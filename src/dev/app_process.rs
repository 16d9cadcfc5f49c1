//! The user's app as a child process.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The values of the app's environment variables.
#[derive(Debug)]
pub(super) struct AppEnv<'a> {
    pub(super) app_id: &'a str,
    pub(super) app_port: Option<u16>,
    pub(super) sidecar: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) kinesis: &'a str,
    pub(super) dynamodb: &'a str,
}

/// A running app; dropping this kills it.
#[derive(Debug)]
pub(super) struct AppProcess {
    child: Child,
    program: String,
}

impl AppProcess {
    /// Starts the command with the variables that Dapr's CLI sets, and the AWS SDKs' own for the embedded services.
    pub(super) fn start(command: &[String], env: &AppEnv<'_>) -> std::io::Result<Option<Self>> {
        let Some((program, arguments)) = command.split_first() else { return Ok(None) };
        let mut process = Command::new(program);
        // Its own process group: Ctrl-C reaches only bindd, which drains its inputs before it stops the app.
        process.args(arguments).kill_on_drop(true).process_group(0).env("APP_ID", env.app_id);
        process.env("DAPR_HTTP_PORT", env.sidecar.port().to_string());
        process.env("DAPR_HTTP_ENDPOINT", format!("http://{}", env.sidecar));
        process.env("DAPR_GRPC_PORT", env.grpc.port().to_string());
        process.env("DAPR_GRPC_ENDPOINT", format!("http://{}", env.grpc));
        if let Some(port) = env.app_port {
            process.env("APP_PORT", port.to_string());
        }
        process.env("AWS_ENDPOINT_URL_KINESIS", env.kinesis);
        process.env("AWS_ENDPOINT_URL_DYNAMODB", env.dynamodb);
        process.env("AWS_REGION", super::emulators::REGION);
        process.env("AWS_ACCESS_KEY_ID", super::emulators::ACCESS_KEY);
        process.env("AWS_SECRET_ACCESS_KEY", super::emulators::ACCESS_KEY);
        Ok(Some(Self { child: process.spawn()?, program: program.clone() }))
    }

    /// Resolves when the app exits. Cancel-safe.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends SIGTERM, and kills the app after `grace`.
    pub(super) async fn stop(mut self, grace: Duration) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
            && let Err(error) = rustix::process::kill_process_group(id, rustix::process::Signal::TERM)
        {
            tracing::debug!(%error, "app had exited already");
        }
        match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(Ok(status)) => tracing::info!(program = self.program, %status, "app exited"),
            Ok(Err(error)) => tracing::warn!(program = self.program, %error, "app could not be waited for"),
            Err(_) => self.kill(grace).await,
        }
    }

    async fn kill(&mut self, grace: Duration) {
        tracing::warn!(program = self.program, ?grace, "app did not exit in time and was killed");
        if let Err(error) = self.child.kill().await {
            tracing::warn!(program = self.program, %error, "app could not be killed");
        }
    }
}
