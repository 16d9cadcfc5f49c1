//! Starts and stops both emulators.

use super::protocol::MAX_BODY;
use super::{corrections, serve};
use crate::domain::{BoxError, Stop};
use crate::tasks::Supervisor;
use axum::extract::DefaultBodyLimit;
use ferrokinesis::store::{DurableStateOptions, Store, StoreOptions};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

/// How long [`Aws::stop`] waits for requests in flight.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// How the emulators behave. The default keeps data in memory only and takes free ports.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// Folder for the data (`kinesis/`, `dynamodb.db`), created if needed; `None` keeps everything in memory. Only one
    /// process may use it at a time.
    pub keep: Option<PathBuf>,
    /// How long one SubscribeToShard call lasts; 300 s in AWS.
    pub subscription_session: Duration,
    /// Whether writes above a shard's 1 MiB and 1,000 records a second are throttled.
    pub enforce_limits: bool,
    /// How long a shard iterator lives, in whole seconds; 300 s in AWS.
    pub iterator_ttl: Duration,
    /// Loopback port for Kinesis; 0 takes any free one.
    pub kinesis_port: u16,
    /// Loopback port for DynamoDB; 0 takes any free one.
    pub dynamodb_port: u16,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self {
            keep: None,
            subscription_session: Duration::from_secs(300),
            enforce_limits: false,
            iterator_ttl: Duration::from_secs(300),
            kinesis_port: 0,
            dynamodb_port: 0,
        }
    }
}

/// The emulators did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Another process uses the folder.
    #[error("the folder {} is in use by another bindd; stop that one or choose another folder", folder.display())]
    FolderTaken { folder: PathBuf },
    /// Another process listens on the port.
    #[error("port {port} for the embedded {service} is taken; stop the other process or choose another port")]
    PortTaken {
        /// Kinesis or DynamoDB.
        service: &'static str,
        port: u16,
    },
    /// The port could not be opened for another reason.
    #[error("port {port} for the embedded {service} could not be opened: {source}; choose another port")]
    Listen {
        /// Kinesis or DynamoDB.
        service: &'static str,
        port: u16,
        #[source]
        source: std::io::Error,
    },
    /// The stored data cannot be read.
    #[error("the data in `{path}` cannot be used: {source}; choose another folder, or remove it to start empty")]
    Data {
        /// File or folder; `:memory:` if nothing is stored on disk.
        path: String,
        #[source]
        source: BoxError,
    },
}

/// Both emulators, running. Dropping it aborts requests in flight; [`Aws::stop`] lets them finish first.
#[derive(Debug)]
pub struct Aws {
    kinesis: SocketAddr,
    dynamodb: SocketAddr,
    stop: Stop,
    servers: Supervisor<()>,
    /// Holds the lock on the folder.
    _folder: Option<File>,
}

impl Aws {
    /// Opens both ports and starts serving.
    ///
    /// # Errors
    /// When a port is taken or stored data cannot be read; nothing keeps running then.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self, EmbeddedError> {
        let (kinesis_listener, kinesis) = listen("Kinesis", settings.kinesis_port).await?;
        let (dynamodb_listener, dynamodb) = listen("DynamoDB", settings.dynamodb_port).await?;
        if let Some(folder) = &settings.keep {
            tokio::fs::create_dir_all(folder).await.map_err(|error| data_error(folder, error))?;
        }
        let folder = settings.keep.as_deref().map(lock).transpose()?;
        let database = open_database(settings.keep.as_deref())?;
        let (router, store) = ferrokinesis::create_app(store_options(&settings));
        check_store(&store, settings.keep.as_deref())?;
        let router = corrections::apply(router, store).layer(DefaultBodyLimit::max(MAX_BODY));

        let stop = Stop::new();
        let mut servers = Supervisor::new();
        servers.spawn("embedded-kinesis", serve::run(kinesis_listener, router, stop.clone()));
        let stopped = stop.clone();
        servers.spawn("embedded-dynamodb", async move {
            let shutdown = async move { stopped.finishing().await };
            if let Err(error) = dynoxide::server::serve_with_shutdown(dynamodb_listener, database, shutdown).await {
                tracing::error!(%error, "embedded DynamoDB ended");
            }
        });
        Ok(Self { kinesis, dynamodb, stop, servers, _folder: folder })
    }

    /// The endpoint of Kinesis, as `http://127.0.0.1:<port>`. Any credentials are accepted; the region is `us-east-1`
    /// and the account `000000000000`.
    #[must_use]
    pub fn kinesis_url(&self) -> String {
        format!("http://{}", self.kinesis)
    }

    /// The endpoint of DynamoDB, as `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        format!("http://{}", self.dynamodb)
    }

    /// Stops both: requests in flight may finish within 2 s, then they are aborted.
    pub async fn stop(mut self) {
        self.stop.finish();
        let all_ended = async { while self.servers.next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all_ended).await.is_err() {
            let aborted = self.servers.abort_and_join().await;
            tracing::debug!(?aborted, "embedded servers were aborted at shutdown");
        }
    }
}

async fn listen(service: &'static str, port: u16) -> Result<(TcpListener, SocketAddr), EmbeddedError> {
    let error = |source: std::io::Error| match source.kind() {
        ErrorKind::AddrInUse => EmbeddedError::PortTaken { service, port },
        _ => EmbeddedError::Listen { service, port, source },
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}

/// Two processes on one folder would overwrite each other's records. The system releases the lock when the process ends,
/// also after `kill -9`.
fn lock(folder: &Path) -> Result<File, EmbeddedError> {
    let file = File::create(folder.join("lock")).map_err(|error| data_error(folder, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EmbeddedError::FolderTaken { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(data_error(folder, error)),
    }
}

fn open_database(keep: Option<&Path>) -> Result<dynoxide::Database, EmbeddedError> {
    let Some(folder) = keep else {
        return dynoxide::Database::memory().map_err(|error| data_error(Path::new(":memory:"), error.to_string()));
    };
    let file = folder.join("dynamodb.db");
    let name = file.to_str().ok_or_else(|| data_error(&file, "its name is not UTF-8"))?;
    dynoxide::Database::new(name).map_err(|error| data_error(&file, error.to_string()))
}

fn store_options(settings: &EmbeddedSettings) -> StoreOptions {
    StoreOptions {
        create_stream_ms: 0,
        delete_stream_ms: 0,
        update_stream_ms: 0,
        shard_limit: 500,
        iterator_ttl_seconds: settings.iterator_ttl.as_secs().max(1),
        subscribe_to_shard_session_ms: u64::try_from(settings.subscription_session.as_millis()).unwrap_or(u64::MAX),
        enforce_limits: settings.enforce_limits,
        durable: settings.keep.as_deref().map(|folder| DurableStateOptions {
            state_dir: kinesis_folder(folder),
            snapshot_interval_secs: 30,
            max_retained_bytes: None,
        }),
        ..StoreOptions::default()
    }
}

fn kinesis_folder(keep: &Path) -> PathBuf {
    keep.join("kinesis")
}

/// ferrokinesis starts even when its data cannot be read, and then every call fails. So check at the start.
fn check_store(store: &Store, keep: Option<&Path>) -> Result<(), EmbeddedError> {
    let path = keep.map_or_else(|| PathBuf::from(":memory:"), kinesis_folder);
    store.check_ready().map_err(|error| data_error(&path, error.to_string()))
}

fn data_error(path: &Path, source: impl Into<BoxError>) -> EmbeddedError {
    EmbeddedError::Data { path: path.display().to_string(), source: source.into() }
}
