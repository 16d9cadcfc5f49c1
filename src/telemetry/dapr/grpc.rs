//! Calls that the gRPC API answered, and calls of the app over gRPC.

use super::super::family::{Family, Registrar};
use super::exact::ExactCounter;
use super::handles::Handles;
use super::labels::{MetricsRules, bytes, latencies, milliseconds, sizes};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use std::sync::Arc;
use std::time::Duration;

/// Methods and codes are constants, so there are never more.
const MAX_SERIES: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    grpc_server_method: &'static str,
    grpc_server_status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerMethod {
    grpc_server_method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    grpc_client_method: &'static str,
    grpc_client_status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientMethod {
    grpc_client_method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    grpc_client_status: &'static str,
}

/// One call and its response.
#[derive(Debug, Clone, Copy)]
pub struct GrpcExchange {
    /// The full method, such as `/dapr.proto.runtime.v1.Dapr/InvokeBinding`.
    pub method: &'static str,
    /// The number of the code; the label is its name.
    pub code: i32,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub took: Duration,
}

#[derive(Debug, Clone)]
struct Series {
    count: ExactCounter,
    latency: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

/// Both sides of gRPC. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GrpcTraffic(Arc<Traffic>);

#[derive(Debug)]
struct Traffic {
    server_count: Family<ServerLabels, ExactCounter>,
    server_latency: Family<ServerLabels, Histogram>,
    server_received: Family<ServerMethod, Histogram>,
    server_sent: Family<ServerMethod, Histogram>,
    server_handles: Handles<(&'static str, &'static str), Series>,
    client_count: Family<ClientLabels, ExactCounter>,
    client_latency: Family<ClientLabels, Histogram>,
    client_sent: Family<ClientMethod, Histogram>,
    client_received: Family<ClientMethod, Histogram>,
    client_handles: Handles<(&'static str, &'static str), Series>,
    probes: Family<ProbeLabels, ExactCounter>,
    probe_latency: Family<ProbeLabels, Histogram>,
}

impl GrpcTraffic {
    pub(super) fn registered(registrar: &mut Registrar, rules: &MetricsRules) -> Self {
        Self(Arc::new(Traffic {
            server_count: registrar.global(
                "grpc_io_server_completed_rpcs",
                "Calls that the gRPC API answered",
                Family::default(),
            ),
            server_latency: registrar.global(
                "grpc_io_server_server_latency",
                "Time of a call of the gRPC API, in milliseconds",
                Family::new_with_constructor(latencies(rules)),
            ),
            server_received: registrar.global(
                "grpc_io_server_received_bytes_per_rpc",
                "Sizes of requests to the gRPC API",
                Family::new_with_constructor(sizes),
            ),
            server_sent: registrar.global(
                "grpc_io_server_sent_bytes_per_rpc",
                "Sizes of responses of the gRPC API",
                Family::new_with_constructor(sizes),
            ),
            server_handles: Handles::new(MAX_SERIES),
            client_count: registrar.global(
                "grpc_io_client_completed_rpcs",
                "Calls of the app over gRPC",
                Family::default(),
            ),
            client_latency: registrar.global(
                "grpc_io_client_roundtrip_latency",
                "Time of a call of the app, in milliseconds",
                Family::new_with_constructor(latencies(rules)),
            ),
            client_sent: registrar.global(
                "grpc_io_client_sent_bytes_per_rpc",
                "Sizes of requests to the app over gRPC",
                Family::new_with_constructor(sizes),
            ),
            client_received: registrar.global(
                "grpc_io_client_received_bytes_per_rpc",
                "Sizes of responses of the app over gRPC",
                Family::new_with_constructor(sizes),
            ),
            client_handles: Handles::new(MAX_SERIES),
            probes: registrar.global(
                "grpc_io_healthprobes_completed_count",
                "Health checks of the app over gRPC",
                Family::default(),
            ),
            probe_latency: registrar.global(
                "grpc_io_healthprobes_roundtrip_latency",
                "Time of a health check over gRPC, in milliseconds",
                Family::new_with_constructor(latencies(rules)),
            ),
        }))
    }

    /// The API answered a call.
    pub fn served(&self, exchange: &GrpcExchange) {
        let traffic = &*self.0;
        let create = |(method, status): &(&'static str, &'static str)| {
            let labels = ServerLabels { grpc_server_method: method, grpc_server_status: status };
            let method = ServerMethod { grpc_server_method: method };
            Series {
                count: traffic.server_count.get_or_create(&labels),
                latency: traffic.server_latency.get_or_create(&labels),
                request_bytes: traffic.server_received.get_or_create(&method),
                response_bytes: traffic.server_sent.get_or_create(&method),
            }
        };
        count(&traffic.server_handles, exchange, create);
    }

    /// The app answered a call, or did not.
    pub fn called(&self, exchange: &GrpcExchange) {
        let traffic = &*self.0;
        let create = |(method, status): &(&'static str, &'static str)| {
            let labels = ClientLabels { grpc_client_method: method, grpc_client_status: status };
            let method = ClientMethod { grpc_client_method: method };
            Series {
                count: traffic.client_count.get_or_create(&labels),
                latency: traffic.client_latency.get_or_create(&labels),
                request_bytes: traffic.client_sent.get_or_create(&method),
                response_bytes: traffic.client_received.get_or_create(&method),
            }
        };
        count(&traffic.client_handles, exchange, create);
    }

    /// The app answered a health check with this code, or did not.
    pub fn probed(&self, code: i32, took: Duration) {
        let labels = ProbeLabels { grpc_client_status: code_name(code) };
        self.0.probes.get_or_create(&labels).inc();
        self.0.probe_latency.get_or_create(&labels).observe(milliseconds(took));
    }
}

/// The name of a code in the spelling of Go, which daprd is written in.
const fn code_name(code: i32) -> &'static str {
    match code {
        0 => "OK",
        1 => "Canceled",
        3 => "InvalidArgument",
        4 => "DeadlineExceeded",
        5 => "NotFound",
        6 => "AlreadyExists",
        7 => "PermissionDenied",
        8 => "ResourceExhausted",
        9 => "FailedPrecondition",
        10 => "Aborted",
        11 => "OutOfRange",
        12 => "Unimplemented",
        13 => "Internal",
        14 => "Unavailable",
        15 => "DataLoss",
        16 => "Unauthenticated",
        _ => "Unknown",
    }
}

fn count(
    handles: &Handles<(&'static str, &'static str), Series>,
    exchange: &GrpcExchange,
    create: impl Fn(&(&'static str, &'static str)) -> Series,
) {
    let key = (exchange.method, code_name(exchange.code));
    handles.with(&key, &key, create, |series| {
        series.count.inc();
        series.latency.observe(milliseconds(exchange.took));
        series.request_bytes.observe(bytes(exchange.request_bytes));
        series.response_bytes.observe(bytes(exchange.response_bytes));
    });
}
