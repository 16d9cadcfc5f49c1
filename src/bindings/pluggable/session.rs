//! Connections over which a component was initialized.

use super::failure;
use super::plug::Plug;
use super::socket;
use crate::domain::{BindingError, FailureKind};
use crate::protocol::components::input_binding_client::InputBindingClient;
use crate::protocol::components::output_binding_client::OutputBindingClient;
use crate::protocol::components::{
    InputBindingInitRequest, ListOperationsRequest, MetadataRequest, OutputBindingInitRequest,
};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Names the component in the metadata of each call, since a program may serve several.
const INSTANCE: &str = "x-component-instance";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// A component, and how it is called.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) plug: Arc<Plug>,
    /// The name of the component.
    pub(super) instance: MetadataValue<Ascii>,
    /// The fields of its file.
    pub(super) properties: Vec<(String, SecretString)>,
    /// In bytes, of what the component sends.
    pub(super) max_message_size: usize,
    /// Of connecting and initializing.
    pub(super) limit: Duration,
}

/// A connection over which the component was initialized. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Session {
    channel: Channel,
    /// Counted by its link.
    number: u64,
    /// Of an output.
    pub(super) operations: Arc<[String]>,
    max_message_size: usize,
}

impl Session {
    pub(super) fn input(&self) -> InputBindingClient<Channel> {
        InputBindingClient::new(self.channel.clone()).max_decoding_message_size(self.max_message_size)
    }

    pub(super) fn output(&self) -> OutputBindingClient<Channel> {
        OutputBindingClient::new(self.channel.clone()).max_decoding_message_size(self.max_message_size)
    }
}

/// The session of one side; a new one after the old one broke.
#[derive(Debug)]
pub(super) struct Link {
    target: Arc<Target>,
    side: Side,
    // Held while a new session is opened, so that there is one.
    current: Mutex<Option<Session>>,
    opened: AtomicU64,
}

impl Link {
    pub(super) fn new(target: Arc<Target>, side: Side) -> Self {
        Self { target, side, current: Mutex::new(None), opened: AtomicU64::new(0) }
    }

    /// The session, which is opened if there is none. Cancel-safe.
    ///
    /// # Errors
    /// When the component cannot be reached, or refuses to be initialized, or takes too long.
    pub(super) async fn session(&self) -> Result<Session, BindingError> {
        // The limit includes the wait for others that open it.
        let opening = async {
            let mut current = self.current.lock().await;
            if let Some(session) = &*current {
                return Ok(session.clone());
            }
            let session = self.open().await?;
            *current = Some(session.clone());
            Ok(session)
        };
        let limit = self.target.limit;
        tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            let socket = self.target.plug.socket.display();
            let text = format!(
                "the pluggable component at {socket} was not initialized within {limit:?}; look at its log, or raise \
                 `initTimeout`"
            );
            Err(BindingError::new(FailureKind::TimedOut, text).unsent())
        })
    }

    /// Forgets a session that broke. Cancel-safe.
    pub(super) async fn discard(&self, broken: &Session) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|session| session.number == broken.number) {
            *current = None;
        }
    }

    pub(super) async fn close(&self) {
        *self.current.lock().await = None;
    }

    pub(super) fn max_message_size(&self) -> usize {
        self.target.max_message_size
    }

    /// A request that names the component.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(INSTANCE, self.target.instance.clone());
        request
    }

    async fn open(&self) -> Result<Session, BindingError> {
        let Target { plug, max_message_size, .. } = &*self.target;
        let channel = socket::open(&plug.socket).await.map_err(|problem| {
            let socket = plug.socket.display();
            let text = format!("the pluggable component cannot be reached at {socket}: {problem}; start it");
            BindingError::new(FailureKind::Unavailable, text).unsent()
        })?;
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let mut session = Session { channel, number, operations: Arc::default(), max_message_size: *max_message_size };
        let failed = |method: &'static str| move |status: Status| failure::error(method, &status);
        match self.side {
            Side::Input => {
                let request = InputBindingInitRequest { metadata: Some(self.metadata()) };
                session.input().init(self.request(request)).await.map_err(failed("Init"))?;
            }
            Side::Output => {
                let request = OutputBindingInitRequest { metadata: Some(self.metadata()) };
                session.output().init(self.request(request)).await.map_err(failed("Init"))?;
                let request = self.request(ListOperationsRequest {});
                let listed = session.output().list_operations(request).await.map_err(failed("ListOperations"))?;
                session.operations = listed.into_inner().operations.into();
            }
        }
        Ok(session)
    }

    fn metadata(&self) -> MetadataRequest {
        let exposed = |(name, value): &(String, SecretString)| (name.clone(), value.expose_secret().to_owned());
        MetadataRequest { properties: self.target.properties.iter().map(exposed).collect() }
    }
}
