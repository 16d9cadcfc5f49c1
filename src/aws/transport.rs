//! How HTTP clients are built: TLS trust, timeouts, and the route of each request, direct or through a proxy.

use super::proxy::{Proxies, Proxy, Route};
use super::settings::ConnectionSettings;
use crate::domain::{BindingError, FailureKind};
use crate::manifest::ProcessEnvironment;
use aws_smithy_http_client::{Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Builds HTTP clients for one component. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport {
    trust: tls::TlsContext,
    idle_timeout: Duration,
    pub(super) connect_timeout: Duration,
    proxies: Arc<Proxies>,
}

impl Transport {
    /// Reads the CA file, and the proxies of the environment.
    ///
    /// # Errors
    /// `Caller` when the CA file cannot be used.
    pub(super) fn new(settings: &ConnectionSettings) -> Result<Self, BindingError> {
        Ok(Self {
            trust: trust(settings)?,
            idle_timeout: settings.connection_idle_timeout,
            connect_timeout: settings.connect_timeout,
            proxies: Arc::new(Proxies::from_environment(&ProcessEnvironment)),
        })
    }

    /// A client that uses proxies where the environment says so.
    pub(super) fn http_client(&self) -> SharedHttpClient {
        let direct = self.direct_client();
        if self.proxies.is_empty() {
            return direct;
        }
        let client = |proxy: Option<&Proxy>, config: fn(&str) -> Option<ProxyConfig>| {
            proxy.and_then(|proxy| config(&proxy.url)).map(|config| self.client(Some(config)))
        };
        SharedHttpClient::new(RoutingClient(Arc::new(Clients {
            http: client(self.proxies.http.as_ref(), |url| ProxyConfig::http(url).ok()),
            https: client(self.proxies.https.as_ref(), |url| ProxyConfig::https(url).ok()),
            proxies: Arc::clone(&self.proxies),
            direct,
        })))
    }

    /// A client that never uses a proxy.
    pub(super) fn direct_client(&self) -> SharedHttpClient {
        self.client(None)
    }

    /// As the SDK's default client (rustls with aws-lc), with our certificate authorities and idle timeout.
    fn client(&self, proxy: Option<ProxyConfig>) -> SharedHttpClient {
        let (trust, idle_timeout) = (self.trust.clone(), self.idle_timeout);
        aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder()
                .pool_idle_timeout(idle_timeout)
                .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
                .tls_context(trust.clone());
            connector.set_connector_settings(settings.cloned());
            connector.set_proxy_config(proxy.clone());
            if let Some(components) = components {
                connector.set_sleep_impl(components.sleep_impl());
            }
            connector.build()
        })
    }
}

/// One client for each route. `None` where there is no proxy, or its URL is invalid.
struct Clients {
    direct: SharedHttpClient,
    http: Option<SharedHttpClient>,
    https: Option<SharedHttpClient>,
    proxies: Arc<Proxies>,
}

/// Chooses the route of each request by its URL.
struct RoutingClient(Arc<Clients>);

impl fmt::Debug for RoutingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RoutingClient").field(&self.0.proxies).finish()
    }
}

impl HttpClient for RoutingClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        // The route is known only with the request.
        SharedHttpConnector::new(RoutingConnector {
            clients: Arc::clone(&self.0),
            settings: settings.clone(),
            components: components.clone(),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.direct.connector_metadata()
    }
}

struct RoutingConnector {
    clients: Arc<Clients>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl fmt::Debug for RoutingConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutingConnector").finish_non_exhaustive()
    }
}

impl HttpConnector for RoutingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Clients { direct, http, https, proxies } = self.clients.as_ref();
        // A URL that cannot be read is refused by the client itself.
        let route = request.uri().parse().map_or(Route::Direct, |url| proxies.route(&url));
        let (client, proxy) = match route {
            Route::Direct => (Some(direct), None),
            Route::HttpProxy => (http.as_ref(), proxies.http.as_ref()),
            Route::HttpsProxy => (https.as_ref(), proxies.https.as_ref()),
        };
        match client {
            Some(client) => client.http_connector(&self.settings, &self.components).call(request),
            None => HttpConnectorFuture::ready(Err(ConnectorError::user(unusable(proxy).into()))),
        }
    }
}

fn unusable(proxy: Option<&Proxy>) -> String {
    let variable = proxy.map_or("the proxy", |proxy| proxy.variable);
    format!(
        "{variable} is not the URL of an http or https proxy, nothing was sent: write one such as \
         `http://proxy.example:3128`, or name the host in NO_PROXY"
    )
}

fn trust(settings: &ConnectionSettings) -> Result<tls::TlsContext, BindingError> {
    let Some(path) = &settings.ca_bundle else { return Ok(tls::TlsContext::default()) };
    let unusable = |why: &str| {
        let text = format!("the CA bundle {} {why}: give a PEM file of certificates", path.display());
        BindingError::new(FailureKind::Caller, text)
    };
    let pem = std::fs::read(path).map_err(|error| unusable("cannot be read").with_source(error))?;
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable("holds no certificate"));
    }
    let store = tls::TrustStore::default().with_pem_certificate(pem);
    let context = tls::TlsContext::builder().with_trust_store(store).build();
    context.map_err(|error| unusable("cannot be used").with_source(error))
}
