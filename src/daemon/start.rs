//! Loads the component files, connects the components and starts the tasks.

use super::api_changes::ApiChanges;
use super::app::{self, App};
use super::apply::{Changes, Parts, Prepare};
use super::catalog::Catalog;
use super::change_queue;
use super::components_api::ComponentsApi;
use super::configuration;
use super::connect_all::{Started, connect_all};
use super::files::check_files;
use super::grpc::GrpcListeners;
use super::http_api::HttpListeners;
use super::inputs::{AppInputs, InputSpec};
use super::observation;
use super::open_files;
use super::policies::PolicyFiles;
use super::reading::Reading;
use super::reload::{Reload, ReloadParts};
use super::running::{APP, INPUTS, METRICS, PROFILES, RELOAD, Running, Stops, TRACES, TaskResult};
use super::sockets::Sockets;
use super::start_error::StartError;
use crate::bindings::pluggable::{Plugs, SocketFolder};
use crate::bindings::{CheckResult, Checked, Context, LeaseTables, Registry, ShapingMemory, SharedLimits, Successions};
use crate::domain::{BodyMemory, DrainLimits, Outputs, WorkerId, app_id_or_default};
use crate::grpc::GrpcSettings;
use crate::http::{self, ApiState, AppConnection, AppHealth, HttpSettings, Listeners, ManageComponents};
use crate::manifest::{Configuration, HOT_RELOAD, Overrides};
use crate::runtime::{ExtendedMetadata, Host, Input, Inputs, InputsHandle, OutputsUnderPolicies, Readiness};
use crate::settings::{AppProtocol, Settings};
use crate::tasks::Supervisor;
use crate::telemetry::{Metrics, SpanExport, Tracer};
use std::fmt;
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

/// What the files of the settings say.
#[derive(Debug)]
pub struct LoadedFiles {
    /// Without faults, in file order.
    pub components: Vec<Checked>,
    pub(super) configuration: Configuration,
}

/// Loads and checks the component files and the Configuration of the settings. Makes no network call but to secret stores
/// that files refer to.
///
/// # Errors
/// With all faults of all component files, or that of the Configuration.
pub async fn load(settings: &Settings) -> Result<LoadedFiles, StartError> {
    let configuration = configuration::load(settings)?;
    log_notices(&configuration.notices);
    let sockets = SocketFolder::new(&settings.component_sockets);
    let (rules, none) = (&configuration.components, Overrides::default());
    let (result, _) = Box::pin(check_files(settings, rules, (&sockets, Plugs::default()), &none)).await;
    let CheckResult { components, notices, faults, .. } = result;
    log_notices(&notices);
    if !faults.is_empty() {
        return Err(StartError::Files(faults));
    }
    if components.is_empty() {
        tracing::warn!("no components loaded; set --resources-path to a folder or file with components");
    }
    Ok(LoadedFiles { components, configuration })
}

/// Starts everything and returns once HTTP is served. Inputs start when the app is up.
///
/// # Errors
/// When it cannot listen on an address or a component cannot be connected. Nothing runs then.
pub async fn start(settings: &Settings, files: LoadedFiles) -> Result<Running, StartError> {
    start_prepared(settings, files, None).await
}

/// As [`start`]. Components that change while it runs are prepared as those of the start were.
///
/// # Errors
/// As [`start`].
pub async fn start_prepared(
    settings: &Settings,
    files: LoadedFiles,
    prepare: Option<Arc<dyn Prepare>>,
) -> Result<Running, StartError> {
    let begun = Instant::now();
    let LoadedFiles { components, configuration } = files;
    tracing::info!("Enabled features: {}", configuration.enabled_features().join(" "));
    let max_connections = open_files::max_connections(open_files::raise_limit());
    let Sockets { http: listeners, grpc: grpc_listeners, page, profiles } =
        Box::pin(Sockets::bind(settings, configuration.metrics.enabled)).await?;
    let metrics = Metrics::with(&observation::metrics(settings, &configuration));
    let traces = observation::traces(settings, &configuration);
    log_notices(&traces.notices);
    let (tracer, export) = metrics.tracer(&traces).map_err(StartError::Traces)?;
    let app = App::new(settings, &metrics, &tracer)?;
    let context = context(settings, &metrics, &tracer);
    let Started { components, inputs, files, disabled, failures } = Box::pin(connect_all(components, &context)).await?;
    let stops = Stops::default();
    // No retry of an output begins once the API drains its requests.
    let policies = PolicyFiles::load(settings, &stops.http, &metrics);
    let host = Arc::new(Host::new(components).with_disabled(disabled).with_policies(Arc::clone(policies.policies())));
    let outputs: Arc<dyn Outputs> = Arc::<Host>::clone(&host);
    context.registry.publish(&outputs);

    let (is_healthy, is_app_healthy) = watch::channel(false);
    let mut running = Running {
        addresses: listeners.api.addresses(),
        public_address: listeners.public.as_ref().and_then(|public| public.addresses().first().copied()),
        grpc_addresses: grpc_listeners.api.addresses(),
        internal_grpc_address: grpc_listeners.internal.as_ref().and_then(|open| open.addresses().first().copied()),
        metrics_address: page.as_ref().and_then(|page| page.addresses().first().copied()),
        profile_address: profiles.as_ref().and_then(|open| open.addresses().first().copied()),
        host: Arc::clone(&host),
        configuration,
        ready: Readiness::new(),
        outbound: Readiness::new(),
        metrics,
        tasks: Supervisor::new(),
        stops,
        begun,
        is_app_healthy,
        limit: settings.graceful_shutdown,
        block: settings.block_shutdown,
        response_margin: None,
    };
    let inputs_of_app = AppInputs {
        channel: app.as_ref().map(|app| app.channel.clone()),
        outputs: Arc::new(OutputsUnderPolicies(Arc::clone(&host))),
        policies: Arc::clone(policies.policies()),
        limits: context.limits.clone(),
        stop: running.stops.inputs.clone(),
    };
    let inputs = running.first_inputs(app.as_ref(), &inputs_of_app, inputs);
    let inputs = running.spawn_inputs(app, inputs, is_healthy, context.drain_limits);
    let bodies = context.bodies.clone();
    let parts = Parts { context, host, inputs, app: inputs_of_app, prepare };
    let components = running.spawn_reload(settings, policies, Changes::new(parts, files, failures));
    let state = Arc::new(ApiState { components, ..running.api_state(settings, max_connections, tracer, bodies) });
    running.spawn_apis(settings, state, listeners, grpc_listeners);
    running.spawn_metrics(settings, page);
    running.spawn_profiles(settings, profiles);
    running.spawn_traces(export);
    tracing::info!(addresses = ?running.addresses, metrics = ?running.metrics_address, "bindd is serving");
    Ok(running)
}

impl Running {
    fn spawn_traces(&mut self, export: Option<SpanExport>) {
        let Some(export) = export else { return };
        let stop = self.stops.traces.clone();
        self.tasks.spawn(TRACES, async move {
            export.run(stop.finishing()).await;
            TaskResult::Traces
        });
    }

    /// Unless health checks decide when inputs are read, the process is ready once the app was asked for each of them, as in
    /// daprd.
    fn first_inputs(&self, app: Option<&App>, inputs_of_app: &AppInputs, specs: Vec<InputSpec>) -> Vec<Input> {
        let has_checks = app.is_some_and(App::has_checks);
        let input = |spec: InputSpec| {
            let is_awaited = spec.needs_probe && !has_checks;
            let guard = is_awaited.then(|| self.ready.guard(format!("probe of {}", spec.binding.name())));
            inputs_of_app.input(spec, guard)
        };
        specs.into_iter().filter_map(input).collect()
    }

    fn spawn_inputs(
        &mut self,
        app: Option<App>,
        inputs: Vec<Input>,
        is_healthy: watch::Sender<bool>,
        limits: DrainLimits,
    ) -> InputsHandle {
        let discovered = self.ready.guard("app port");
        let stop = self.stops.app.clone();
        self.tasks.spawn(APP, async move {
            app::run(app, is_healthy, discovered, stop).await;
            TaskResult::App
        });
        let (inputs, handle) = Inputs::new(inputs, self.is_app_healthy.clone(), limits);
        let stop = self.stops.inputs.clone();
        self.tasks.spawn(INPUTS, async move { TaskResult::Inputs(inputs.run(stop).await) });
        handle
    }

    /// Returns what manages the components over HTTP, if that is on.
    fn spawn_reload(
        &mut self,
        settings: &Settings,
        policies: PolicyFiles,
        changes: Changes,
    ) -> Option<Arc<dyn ManageComponents>> {
        let is_watching = self.is_reloading(settings);
        let (catalog, (sender, receiver)) = (Arc::new(Catalog::default()), change_queue::queue());
        let api = ApiChanges::new(Arc::clone(&catalog), settings.components_api.as_ref().map(|_| receiver));
        let reading = Reading::new(settings.clone(), self.configuration.clone());
        api.publish(&changes);
        let parts = ReloadParts { reading, policies, changes, api };
        let reload = Reload::new(parts, is_watching);
        let stop = self.stops.reload.clone();
        self.tasks.spawn(RELOAD, async move {
            reload.run(stop).await;
            TaskResult::Reload
        });
        settings.components_api.as_ref()?;
        Some(Arc::new(ComponentsApi::new(settings, catalog, sender)))
    }

    /// The flag, else the feature `HotReload` of the Configuration.
    fn is_reloading(&self, settings: &Settings) -> bool {
        settings.reload.watch.unwrap_or_else(|| self.configuration.is_enabled(HOT_RELOAD))
    }

    /// Dapr's names of what is on.
    fn features(&self, settings: &Settings) -> Vec<String> {
        let configured = self.configuration.enabled_features().into_iter().filter(|name| *name != HOT_RELOAD);
        configured.chain(self.is_reloading(settings).then_some(HOT_RELOAD)).map(str::to_owned).collect()
    }

    fn api_state(
        &self,
        settings: &Settings,
        max_connections: usize,
        tracer: Tracer,
        body_memory: BodyMemory,
    ) -> ApiState {
        ApiState {
            host: Arc::clone(&self.host),
            ready: self.ready.clone(),
            outbound: self.outbound.clone(),
            metrics: self.metrics.clone(),
            app_id: settings.app_id.clone(),
            app: app_connection(settings),
            is_app_healthy: self.is_app_healthy.clone(),
            features: self.features(settings),
            extended: ExtendedMetadata::new(),
            body_memory,
            components: None,
            stop: self.stops.api.clone(),
            abort_calls: self.stops.abort_calls.clone(),
            settings: HttpSettings {
                max_body_size: settings.max_body_size,
                max_header_bytes: settings.read_buffer_size.saturating_add(HEAD_SLACK),
                max_connections,
                strict_dapr_errors: settings.strict_dapr_errors,
                reencodes_data: settings.dapr_compat,
                zero_traceparent: settings.dapr_compat,
                hides_inputs: settings.dapr_compat,
                api_rules: self.configuration.api.clone(),
                http2: settings.http2,
                access: settings.access.clone(),
                api_log: observation::api_log(settings, &self.configuration),
                tracer,
                api_token: settings.api_token.clone(),
                admin_token: settings.components_api.as_ref().map(|api| api.token.clone()),
                admin_token_name: settings.components_api.as_ref().map_or("", |api| api.variable),
            },
        }
    }

    fn spawn_apis(
        &mut self,
        settings: &Settings,
        state: Arc<ApiState>,
        listeners: HttpListeners,
        grpc_listeners: GrpcListeners,
    ) {
        let drain = settings.graceful_shutdown.unwrap_or(UNLIMITED_DRAIN);
        let limits = GrpcSettings {
            max_connections: open_files::grpc_connections(state.settings.max_connections),
            max_idle: settings.grpc_max_idle,
        };
        self.spawn_grpc(limits, grpc_listeners, &state, drain);
        self.spawn_http(listeners, state, drain);
    }

    fn spawn_metrics(&mut self, settings: &Settings, page: Option<Listeners>) {
        if let Some(page) = page {
            let (metrics, access, stop) = (self.metrics.clone(), settings.access.clone(), self.stops.metrics.clone());
            let serving = http::serve_metrics(page, metrics, access, stop);
            self.tasks.spawn(METRICS, async move { TaskResult::Metrics(serving.await) });
        }
    }

    /// Tools may wait for daprd's line.
    fn spawn_profiles(&mut self, settings: &Settings, profiles: Option<Listeners>) {
        if let Some(profiles) = profiles {
            for address in profiles.addresses() {
                tracing::info!("HTTP profiling server listening on: {address}");
            }
            let serving = http::serve_profiles(profiles, settings.access.clone(), self.stops.metrics.clone());
            self.tasks.spawn(PROFILES, async move { TaskResult::Profiles(serving.await) });
        }
    }
}

fn log_notices(notices: &[impl fmt::Display]) {
    for notice in notices {
        tracing::warn!("{notice}");
    }
}

fn app_connection(settings: &Settings) -> AppConnection {
    settings.app.as_ref().map_or_else(AppConnection::default, |app| AppConnection {
        port: Some(app.port),
        protocol: app.protocol.as_str().to_owned(),
        channel_address: app.address.clone(),
        health: settings.app_health.as_ref().map(|health| AppHealth {
            path: Some(health.path.clone()).filter(|_| !matches!(app.protocol, AppProtocol::Grpc | AppProtocol::Grpcs)),
            interval: health.interval,
            timeout: health.timeout,
            threshold: health.threshold,
        }),
        max_concurrency: settings.app_max_concurrency.map(|count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    })
}

fn context(settings: &Settings, metrics: &Metrics, tracer: &Tracer) -> Context {
    let app_id = app_id_or_default(&settings.app_id);
    Context {
        app_id: app_id.to_owned(),
        worker: WorkerId::new(format!("{app_id}-{}", uuid::Uuid::new_v4())),
        ca_bundle: settings.ca_bundle.clone(),
        metrics: metrics.clone(),
        tracer: tracer.clone(),
        registry: Registry::default(),
        lease_tables: LeaseTables::default(),
        successions: Successions::default(),
        drain_limits: drain_limits(settings),
        max_message_size: settings.max_body_size.unwrap_or(usize::MAX),
        bodies: BodyMemory::new(settings.max_buffer),
        limits: SharedLimits::new(settings.max_buffered_bytes, settings.app_max_concurrency, fastrand::u64(..)),
        shaping_memory: ShapingMemory::default(),
    }
}

fn drain_limits(settings: &Settings) -> DrainLimits {
    let urgent =
        settings.graceful_shutdown.map_or(UNLIMITED_DRAIN, |limit| limit.saturating_sub(AFTER_INPUTS).max(limit / 2));
    // No request to the app takes longer.
    DrainLimits { urgent, retire: settings.app_timeout.max(urgent) }
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
    async fn bindings_of_other_types_are_skipped_unless_told_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["bindings.kafka", "state.redis"] {
            let text = file("other", "kinesis", "streamName").replace("bindings.aws.kinesis", kind);
            std::fs::write(folder.path().join(kind).with_extension("yaml"), text).unwrap();
        }
        let mut settings = Settings::local("shop", folder.path());
        assert!(load(&settings).await.unwrap().components.is_empty());
        settings.strict_components = true;
        let error = load(&settings).await.unwrap_err().to_string();
        assert!(
            error.contains("component `other`: field `spec.type`: bindd does not serve the type `bindings.kafka`"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 2, "{error}");
    }

    #[tokio::test]
    async fn the_app_is_not_probed_about_a_kind_without_input() {
        let folder = tempfile::tempdir().unwrap();
        for (name, kind, field) in [("stream", "kinesis", "streamName"), ("rows", "dynamodb", "table")] {
            std::fs::write(folder.path().join(name).with_extension("yaml"), file(name, kind, field)).unwrap();
        }
        let settings = Settings::local("shop", folder.path());
        let components = load(&settings).await.unwrap().components;
        let started = connect_all(components, &context(&settings, &Metrics::new(), &Tracer::default())).await.unwrap();
        assert_eq!(started.components.len(), 2);
        let names: Vec<_> = started.inputs.iter().map(|input| input.binding.name().to_string()).collect();
        assert_eq!(names, ["stream"]);
    }
}
