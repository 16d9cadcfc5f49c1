//! The ports of a sidecar and its app, known before either of them listens, as in a pod.

use crate::environment::Environment;
use bindd::settings::{AppEndpoint, AppProtocol, Settings};
use bindd::testing::within;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;

/// Tokens of the API and of the app.
pub(crate) const API_TOKEN: &str = "token-of-the-api";
pub(crate) const APP_TOKEN: &str = "token-of-the-app";

/// No other process gets these ports: each is bound, but a socket that does not listen lets another one listen.
#[derive(Debug)]
pub(crate) struct Ports {
    http: TcpSocket,
    grpc: TcpSocket,
    app: TcpSocket,
    dynamodb: TcpSocket,
}

impl Ports {
    pub(crate) fn reserve() -> Self {
        let [http, grpc, app, dynamodb] = std::array::from_fn(|_| socket(SocketAddr::from(([127, 0, 0, 1], 0))));
        Self { http, grpc, app, dynamodb }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http.local_addr().unwrap()
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc.local_addr().unwrap()
    }

    pub(crate) fn app(&self) -> SocketAddr {
        self.app.local_addr().unwrap()
    }

    /// Of the embedded DynamoDB of `bindd dev`.
    pub(crate) fn dynamodb(&self) -> SocketAddr {
        self.dynamodb.local_addr().unwrap()
    }

    /// Settings of a sidecar on these ports that asks for tokens; with an app if it has a protocol.
    pub(crate) fn settings(&self, env: &Environment, app: Option<AppProtocol>) -> Settings {
        let mut settings = env.settings(None);
        settings.http_addresses = vec![self.http()];
        settings.grpc_addresses = vec![self.grpc()];
        settings.api_token = Some(API_TOKEN.into());
        settings.app_api_token = Some(APP_TOKEN.into());
        let address = self.app();
        settings.app =
            app.map(|protocol| AppEndpoint { address: address.ip().to_string(), port: address.port(), protocol });
        settings
    }

    /// Sets the variables that Dapr sets for an app, which all SDKs read.
    pub(crate) fn set<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let port = |socket: &TcpSocket| socket.local_addr().unwrap().port().to_string();
        command.env("DAPR_HTTP_PORT", port(&self.http)).env("DAPR_GRPC_PORT", port(&self.grpc));
        command.env("APP_PORT", port(&self.app)).env("DAPR_API_TOKEN", API_TOKEN).env("APP_API_TOKEN", APP_TOKEN);
        // On a slow machine the sidecar may take longer than the defaults of the SDKs.
        command.env("DAPR_CLIENT_TIMEOUT_SECONDS", "120").env("DAPR_HEALTH_TIMEOUT", "120");
        command.env("PYTHONDONTWRITEBYTECODE", "1")
    }
}

/// Listens in place of a sidecar that is not ready yet.
#[derive(Debug)]
pub(crate) struct NotReady(TcpListener);

impl NotReady {
    pub(crate) fn listen(address: SocketAddr) -> Self {
        Self(socket(address).listen(16).unwrap())
    }

    /// Answers one request with 500, as a sidecar does whose components are not ready.
    pub(crate) async fn answer_once(self) {
        let (mut stream, _) = within("the SDK to look for its sidecar", self.0.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let response = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(response).await.unwrap();
    }

    /// Closes one connection.
    pub(crate) async fn close_once(self) {
        within("the SDK to look for its sidecar", self.0.accept()).await.unwrap();
    }
}

/// A socket bound to an address that other sockets may share.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}
