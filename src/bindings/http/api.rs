//! Calls of an API with a token, for the parts of bindd itself.

use super::client::{Client, Limits};
use super::request::Outgoing;
use super::spec::TlsSpec;
use super::target;
use crate::domain::{BindingError, FailureKind};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, Response};
use secrecy::{ExposeSecret as _, SecretString};

/// An answer of Kubernetes is at most 1 MiB of data in base64, with what is around it.
const LIMITS: Limits = Limits { max_connections: 4, max_response: 4 << 20 };

#[derive(Debug)]
pub(in super::super) struct ApiClient(Client);

#[derive(Debug)]
pub(in super::super) struct ApiRequest {
    pub(in super::super) url: String,
    pub(in super::super) bearer: SecretString,
}

impl ApiClient {
    /// `root_ca` is PEM text or the path of a PEM file, instead of the authorities of the system.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub(in super::super) async fn connect(root_ca: Option<SecretString>) -> Result<Self, BindingError> {
        Client::load(TlsSpec { root_ca, ..TlsSpec::default() }, LIMITS, None).await.map(Self)
    }

    /// The response, whatever its status is.
    ///
    /// # Errors
    /// When there is none.
    pub(in super::super) async fn get(&self, request: ApiRequest) -> Result<Response<Bytes>, BindingError> {
        let invalid = |text: &str| BindingError::new(FailureKind::Caller, text);
        let url = target::parse(&request.url).map_err(|problem| invalid(&problem))?;
        let token = format!("Bearer {}", request.bearer.expose_secret());
        let mut token = HeaderValue::from_str(&token).map_err(|_| invalid("the token does not fit into a header"))?;
        token.set_sensitive(true);
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, token), (ACCEPT, HeaderValue::from_static("application/json"))]);
        self.0.send(Outgoing { method: Method::GET, url, headers, body: Bytes::new() }).await
    }
}
