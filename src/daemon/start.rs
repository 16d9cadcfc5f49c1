//! The way up.

use super::inputs::{self, Wanted};
use super::open_files;
use super::running::{HTTP, INPUTS, METRICS, Part, Running, Stops};
use crate::app::{AppChannel, AppSettings, InvalidAppSettings};
use crate::bindings::{Checked, Context, LeaseTables, Registry, connect};
use crate::domain::{Binding, BindingError, ComponentName, WorkerId};
use crate::http::{self, AppConnection, BindError, Face, HttpSettings, Listeners};
use crate::manifest::Faults;
use crate::runtime::{Component, Host, Readiness};
use crate::settings::Settings;
use crate::tasks::Supervisor;
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Room for the phases after the inputs, out of the whole time for a graceful stop.
const AFTER_INPUTS: Duration = Duration::from_secs(1);
/// Go's server accepts a request head this much larger than its configured limit.
const HEAD_SLACK: usize = 4 << 10;
/// How long an input may take for the record in hand when a graceful stop has no limit.
const UNLIMITED_DRAIN: Duration = Duration::from_secs(3_600);

/// The daemon could not start. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Component files have faults; contacted nothing.
    #[error("component files have faults, nothing was started:\n{0}")]
    Files(Faults),
    /// A port is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The app cannot be called as the settings say.
    #[error(transparent)]
    App(#[from] InvalidAppSettings),
    /// A component could not be connected, and its file does not say `ignoreErrors: true`.
    #[error("component {name} could not be connected: {source}")]
    Component {
        /// The component.
        name: ComponentName,
        /// The cause.
        source: BindingError,
    },
}

/// Starts everything and returns once HTTP is served. Inputs begin when the app is up.
///
/// # Errors
/// When no address can be listened on or a component cannot be connected; nothing runs then.
pub async fn start(settings: &Settings, components: Vec<Checked>) -> Result<Running, StartError> {
    let app = app_channel(settings)?;
    let max_connections = open_files::max_connections(open_files::raise_limit());
    let listeners = http::bind(&settings.http_addresses).await?;
    let page = match settings.metrics_address {
        Some(address) => Some(http::bind(&[address]).await?),
        None => None,
    };
    let metrics = Metrics::new();
    let wanted: Vec<Wanted> = components.iter().filter_map(Wanted::of).collect();
    let context = context(settings, &metrics);
    let connected = connect_all(components, &context).await?;
    context.registry.publish(connected.iter().map(|component| &component.binding));
    let inputs = pair(wanted, &connected);
    let host = Arc::new(Host::new(connected));

    let mut running = Running {
        addresses: listeners.addresses(),
        metrics_address: page.as_ref().and_then(|page| page.addresses().first().copied()),
        host,
        ready: Readiness::new(),
        outbound: Readiness::new(),
        metrics,
        parts: Supervisor::new(),
        stops: Stops::default(),
        limit: settings.graceful_shutdown,
        last_answers: None,
    };
    running.spawn_inputs(app, inputs);
    running.spawn_http(settings, max_connections, listeners, page);
    tracing::info!(addresses = ?running.addresses, metrics = ?running.metrics_address, "bindd is serving");
    Ok(running)
}

impl Running {
    fn spawn_inputs(&mut self, app: Option<AppChannel>, inputs: Vec<(Wanted, Arc<dyn Binding>)>) {
        let ready = self.ready.guard("app port");
        let stop = self.stops.inputs.clone();
        self.parts.spawn(INPUTS, async move { Part::Inputs(inputs::run(app, inputs, ready, stop).await) });
    }

    fn spawn_http(
        &mut self,
        settings: &Settings,
        max_connections: usize,
        listeners: Listeners,
        page: Option<Listeners>,
    ) {
        let face = Face {
            host: Arc::clone(&self.host),
            ready: self.ready.clone(),
            outbound: self.outbound.clone(),
            metrics: self.metrics.clone(),
            app_id: settings.app_id.clone(),
            app: app_connection(settings),
            extended: BTreeMap::new(),
            stop: self.stops.asked.clone(),
            last_answers: self.stops.answers.clone(),
            settings: HttpSettings {
                max_body_size: settings.max_body_size,
                max_buffer: settings.max_buffer,
                max_header_bytes: settings.read_buffer_size.saturating_add(HEAD_SLACK),
                max_connections,
                strict_dapr_errors: settings.strict_dapr_errors,
                access: settings.access.clone(),
                api_token: settings.api_token.clone(),
            },
        };
        let drain = settings.graceful_shutdown.unwrap_or(UNLIMITED_DRAIN);
        let stop = self.stops.http.clone();
        self.parts.spawn(HTTP, async move { Part::Http(http::serve(listeners, Arc::new(face), stop, drain).await) });
        if let Some(page) = page {
            let (metrics, access, stop) = (self.metrics.clone(), settings.access.clone(), self.stops.metrics.clone());
            let serving = http::serve_metrics(page, metrics, access, stop);
            self.parts.spawn(METRICS, async move { Part::Metrics(serving.await) });
        }
    }
}

fn app_connection(settings: &Settings) -> AppConnection {
    settings.app.as_ref().map_or_else(AppConnection::default, |app| AppConnection {
        port: Some(app.port),
        channel_address: app.address.clone(),
        ..AppConnection::default()
    })
}

fn app_channel(settings: &Settings) -> Result<Option<AppChannel>, InvalidAppSettings> {
    let Some(app) = &settings.app else { return Ok(None) };
    let channel = AppChannel::new(&AppSettings {
        address: app.address.clone(),
        api_token: settings.app_api_token.clone(),
        event_timeout: settings.app_timeout,
        probe_timeout: settings.probe_timeout,
        ..AppSettings::new(app.port)
    })?;
    Ok(Some(channel))
}

fn context(settings: &Settings, metrics: &Metrics) -> Context {
    let app_id = if settings.app_id.is_empty() { "bindd" } else { &settings.app_id };
    Context {
        app_id: app_id.to_owned(),
        worker: WorkerId::new(format!("{app_id}-{}", uuid::Uuid::new_v4())),
        ca_bundle: settings.ca_bundle.clone(),
        metrics: metrics.clone(),
        registry: Registry::default(),
        lease_tables: LeaseTables::default(),
        drain_limit: settings
            .graceful_shutdown
            .map_or(UNLIMITED_DRAIN, |limit| limit.saturating_sub(AFTER_INPUTS).max(limit / 2)),
    }
}

/// Connects all at once. The first failure that its file does not ignore ends the start.
async fn connect_all(components: Vec<Checked>, context: &Context) -> Result<Vec<Component>, StartError> {
    let connecting = components.into_iter().map(|checked| connect_one(checked, context));
    let results = futures_util::future::join_all(connecting).await;
    let connected: Result<Vec<Option<Component>>, StartError> = results.into_iter().collect();
    Ok(connected?.into_iter().flatten().collect())
}

async fn connect_one(checked: Checked, context: &Context) -> Result<Option<Component>, StartError> {
    let (name, ignore_errors) = (checked.name.clone(), checked.ignore_errors);
    let (type_name, version, direction) = (checked.type_name.to_owned(), checked.version.clone(), checked.direction());
    match connect(checked, context).await {
        Ok(binding) => {
            tracing::info!(component = %name, kind = type_name, "component loaded");
            Ok(Some(Component { binding, type_name, version, direction }))
        }
        Err(error) if ignore_errors => {
            tracing::error!(component = %name, %error, "component was left out, as its ignoreErrors asks");
            Ok(None)
        }
        Err(source) => Err(StartError::Component { name, source }),
    }
}

/// The inputs with their bindings. A file need not say that its kind has no input side, and the app is not asked about it.
fn pair(wanted: Vec<Wanted>, connected: &[Component]) -> Vec<(Wanted, Arc<dyn Binding>)> {
    let find = |wanted: Wanted| {
        let is_meant = |component: &&Component| *component.binding.name() == wanted.name;
        let component = connected.iter().find(is_meant).filter(|found| found.binding.input().is_some())?;
        Some((wanted, Arc::clone(&component.binding)))
    };
    wanted.into_iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, kind: &str, field: &str) -> String {
        let connection = "{name: region, value: us-east-1}, {name: accessKey, value: a}, {name: secretKey, value: s}";
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
             type: bindings.aws.{kind}\n  version: v1\n  metadata: [{connection}, {{name: {field}, value: orders}}]\n"
        )
    }

    #[tokio::test]
    async fn the_app_is_not_asked_about_a_kind_without_input() {
        let folder = tempfile::tempdir().unwrap();
        for (name, kind, field) in [("stream", "kinesis", "streamName"), ("rows", "dynamodb", "table")] {
            std::fs::write(folder.path().join(name).with_extension("yaml"), file(name, kind, field)).unwrap();
        }
        let settings = Settings::local("shop", folder.path());
        let components = super::super::load(&settings).unwrap();
        let wanted: Vec<Wanted> = components.iter().filter_map(Wanted::of).collect();
        let connected = connect_all(components, &context(&settings, &Metrics::new())).await.unwrap();
        assert_eq!(connected.len(), 2);
        let paired: Vec<_> = pair(wanted, &connected).into_iter().map(|(wanted, _)| wanted.name.to_string()).collect();
        assert_eq!(paired, ["stream"]);
    }
}
