//! Opens everything that listens.

use super::grpc::{self, GrpcListeners};
use super::http_api::{HttpListeners, listen};
use crate::http::{self, BindError, Listeners};
use crate::settings::Settings;

/// Everything that listens, opened before any component so that a port in use fails first.
pub(super) struct Sockets {
    pub(super) http: HttpListeners,
    pub(super) grpc: GrpcListeners,
    pub(super) page: Option<Listeners>,
    /// Of `--enable-profiling`.
    pub(super) profiles: Option<Listeners>,
}

impl Sockets {
    pub(super) async fn bind(settings: &Settings, has_metrics: bool) -> Result<Self, BindError> {
        let (http, grpc) = (listen(settings).await?, grpc::listen(settings).await?);
        let page = match settings.metrics_address.filter(|_| has_metrics) {
            Some(address) => Some(http::bind(&[address]).await?),
            None => None,
        };
        let profiles = match &settings.profile_addresses[..] {
            [] => None,
            addresses => Some(http::bind(addresses).await?),
        };
        Ok(Self { http, grpc, page, profiles })
    }
}
