//! Loads the component files, connects the components and starts the tasks.

use super::app::{self, App};
use super::grpc::{self, GrpcListeners};
use super::inputs::{self, InputSpec};
use super::open_files;
use super::running::{APP, HTTP, INPUTS, METRICS, Running, Stops, TaskResult};
use crate::app::InvalidAppSettings;
use crate::bindings::{
    CheckResult, Checked, Context, LeaseTables, Registry, SharedLimits, check, connect, missing_files,
};
use crate::domain::{BindingError, ComponentName, Outputs, WorkerId};
use crate::grpc::GrpcSettings;
use crate::http::{self, ApiState, AppConnection, BindError, BodyMemory, HttpSettings, Listeners};
use crate::manifest::{self, Faults, LoadRequest, ProcessEnvironment};
use crate::runtime::{Component, ExtendedMetadata, Host, Readiness};
use crate::settings::Settings;
use crate::tasks::Supervisor;
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The part of the graceful shutdown timeout that is kept for the phases after the inputs.
const AFTER_INPUTS: Duration = Duration::from_secs(1);
/// Go's HTTP server accepts request headers that exceed its limit by this.
const HEAD_SLACK: usize = 4 << 10;
/// The drain limit of inputs and HTTP if graceful shutdown has no timeout: ten years, which can be added to any time.
const UNLIMITED_DRAIN: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// The daemon could not start. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("component files have faults, nothing was started:\n{0}")]
    Files(Faults),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    App(#[from] InvalidAppSettings),
    /// Only for a component whose file does not set `ignoreErrors: true`.
    #[error("component {name} could not be connected: {source}")]
    Component { name: ComponentName, source: BindingError },
}

/// Loads and checks the component files of the settings. Makes no network call.
///
/// # Errors
/// With all faults of all files.
pub fn load(settings: &Settings) -> Result<Vec<Checked>, StartError> {
    let request = LoadRequest {
        paths: &settings.resources_paths,
        app_id: Some(&settings.app_id),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let CheckResult { components, notices, faults } = check(manifest::load(&request));
    let absent = missing_files(&components, &ProcessEnvironment);
    for notice in notices.iter().chain(&absent) {
        tracing::warn!("{notice}");
    }
    if !faults.is_empty() {
        return Err(StartError::Files(faults));
    }
    if components.is_empty() {
        tracing::warn!("no components loaded; set --resources-path to a folder or file with components");
    }
    Ok(components)
}

/// Starts everything and returns once HTTP is served. Inputs start when the app is up.
///
/// # Errors
/// When it cannot listen on an address or a component cannot be connected. Nothing runs then.
pub async fn start(settings: &Settings, components: Vec<Checked>) -> Result<Running, StartError> {
    let begun = Instant::now();
    let app = App::new(settings)?;
    let max_connections = open_files::max_connections(open_files::raise_limit());
    let listeners = http::bind(&settings.http_addresses).await?;
    let grpc_listeners = grpc::listen(settings).await?;
    let page = match settings.metrics_address {
        Some(address) => Some(http::bind(&[address]).await?),
        None => None,
    };
    let metrics = Metrics::new();
    let context = context(settings, &metrics);
    let (connected, inputs) = connect_all(components, &context).await?;
    let host = Arc::new(Host::new(connected));
    let outputs: Arc<dyn Outputs> = Arc::<Host>::clone(&host);
    context.registry.publish(&outputs);

    let (is_healthy, is_app_healthy) = watch::channel(false);
    let mut running = Running {
        addresses: listeners.addresses(),
        grpc_addresses: grpc_listeners.api.addresses(),
        internal_grpc_address: grpc_listeners.internal.as_ref().and_then(|open| open.addresses().first().copied()),
        metrics_address: page.as_ref().and_then(|page| page.addresses().first().copied()),
        host,
        ready: Readiness::new(),
        outbound: Readiness::new(),
        metrics,
        tasks: Supervisor::new(),
        stops: Stops::default(),
        begun,
        is_app_healthy,
        limit: settings.graceful_shutdown,
        block: settings.block_shutdown,
        response_margin: None,
    };
    running.spawn_inputs(app, inputs, is_healthy);
    let state = Arc::new(running.api_state(settings, max_connections));
    running.spawn_apis(settings, state, listeners, grpc_listeners);
    running.spawn_metrics(settings, page);
    tracing::info!(addresses = ?running.addresses, metrics = ?running.metrics_address, "bindd is serving");
    Ok(running)
}

impl Running {
    fn spawn_inputs(&mut self, app: Option<App>, inputs: Vec<InputSpec>, is_healthy: watch::Sender<bool>) {
        let discovered = self.ready.guard("app port");
        let outputs: Arc<dyn Outputs> = Arc::<Host>::clone(&self.host);
        let inputs = inputs::prepare(app.as_ref(), inputs, &outputs, &self.ready, &self.stops.inputs);
        let stop = self.stops.app.clone();
        self.tasks.spawn(APP, async move {
            app::run(app, is_healthy, discovered, stop).await;
            TaskResult::App
        });
        let (health, stop) = (self.is_app_healthy.clone(), self.stops.inputs.clone());
        self.tasks.spawn(INPUTS, async move { TaskResult::Inputs(inputs::run(inputs, health, stop).await) });
    }

    fn api_state(&self, settings: &Settings, max_connections: usize) -> ApiState {
        ApiState {
            host: Arc::clone(&self.host),
            ready: self.ready.clone(),
            outbound: self.outbound.clone(),
            metrics: self.metrics.clone(),
            app_id: settings.app_id.clone(),
            app: app_connection(settings),
            extended: ExtendedMetadata::new(),
            body_memory: BodyMemory::new(settings.max_buffer),
            stop: self.stops.api.clone(),
            abort_calls: self.stops.abort_calls.clone(),
            settings: HttpSettings {
                max_body_size: settings.max_body_size,
                max_header_bytes: settings.read_buffer_size.saturating_add(HEAD_SLACK),
                max_connections,
                strict_dapr_errors: settings.strict_dapr_errors,
                access: settings.access.clone(),
                api_token: settings.api_token.clone(),
            },
        }
    }

    fn spawn_apis(
        &mut self,
        settings: &Settings,
        state: Arc<ApiState>,
        listeners: Listeners,
        grpc_listeners: GrpcListeners,
    ) {
        let drain = settings.graceful_shutdown.unwrap_or(UNLIMITED_DRAIN);
        let limits = GrpcSettings {
            max_connections: open_files::grpc_connections(state.settings.max_connections),
            max_idle: settings.grpc_max_idle,
        };
        self.spawn_grpc(limits, grpc_listeners, &state, drain);
        let stop = self.stops.http.clone();
        self.tasks.spawn(HTTP, async move { TaskResult::Http(http::serve(listeners, state, stop, drain).await) });
    }

    fn spawn_metrics(&mut self, settings: &Settings, page: Option<Listeners>) {
        if let Some(page) = page {
            let (metrics, access, stop) = (self.metrics.clone(), settings.access.clone(), self.stops.metrics.clone());
            let serving = http::serve_metrics(page, metrics, access, stop);
            self.tasks.spawn(METRICS, async move { TaskResult::Metrics(serving.await) });
        }
    }
}

fn app_connection(settings: &Settings) -> AppConnection {
    settings.app.as_ref().map_or_else(AppConnection::default, |app| AppConnection {
        port: Some(app.port),
        protocol: app.protocol.as_str().to_owned(),
        channel_address: app.address.clone(),
        max_concurrency: settings.app_max_concurrency.map(|count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    })
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
        limits: SharedLimits::new(settings.max_buffered_bytes, settings.app_max_concurrency, fastrand::u64(..)),
    }
}

/// Connects all components concurrently. The first failure that its file does not ignore ends the start.
async fn connect_all(
    components: Vec<Checked>,
    context: &Context,
) -> Result<(Vec<Component>, Vec<InputSpec>), StartError> {
    let connecting = components.into_iter().map(|checked| connect_one(checked, context));
    let (mut connected, mut inputs) = (Vec::new(), Vec::new());
    for result in futures_util::future::join_all(connecting).await {
        if let Some((component, input)) = result? {
            connected.push(component);
            inputs.extend(input);
        }
    }
    Ok((connected, inputs))
}

async fn connect_one(
    checked: Checked,
    context: &Context,
) -> Result<Option<(Component, Option<InputSpec>)>, StartError> {
    let (name, ignore_errors) = (checked.name.clone(), checked.ignore_errors);
    let (type_name, version, direction) = (checked.type_name.to_owned(), checked.version.clone(), checked.direction());
    let route = checked.route().map(str::to_owned);
    match connect(checked, context).await {
        Ok(binding) => {
            tracing::info!(component = %name, kind = type_name, "component loaded");
            // A file without a direction does not say whether its kind has an input side; the binding knows.
            let is_input = direction.has_input() && binding.input().is_some();
            let input = is_input.then(|| InputSpec {
                binding: Arc::clone(&binding),
                route,
                needs_probe: direction.needs_probe(),
                metrics: context.metrics.input(name.as_str()),
            });
            Ok(Some((Component { binding, type_name, version, direction }, input)))
        }
        Err(error) if ignore_errors => {
            tracing::error!(component = %name, %error, "component skipped because it sets ignoreErrors");
            Ok(None)
        }
        Err(source) => Err(StartError::Component { name, source }),
    }
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
    async fn the_app_is_not_probed_about_a_kind_without_input() {
        let folder = tempfile::tempdir().unwrap();
        for (name, kind, field) in [("stream", "kinesis", "streamName"), ("rows", "dynamodb", "table")] {
            std::fs::write(folder.path().join(name).with_extension("yaml"), file(name, kind, field)).unwrap();
        }
        let settings = Settings::local("shop", folder.path());
        let components = load(&settings).unwrap();
        let (connected, inputs) = connect_all(components, &context(&settings, &Metrics::new())).await.unwrap();
        assert_eq!(connected.len(), 2);
        let names: Vec<_> = inputs.iter().map(|input| input.binding.name().to_string()).collect();
        assert_eq!(names, ["stream"]);
    }
}
