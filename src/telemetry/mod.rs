//! Logs, metrics and traces of the process. Other modules take typed handles from here; no other module names a metric.

mod api_log;
mod component;
mod credentials;
mod dapr;
mod exposition;
mod family;
mod input;
mod labels;
mod log_format;
mod log_limit;
mod log_output;
mod logging;
mod metrics;
mod output;
mod process;
mod reads;
mod requests;
mod shaping;
mod traces;

pub use api_log::{ApiCall, ApiEndpoint, ApiLogRules};
pub use credentials::CredentialMetrics;
pub use dapr::{
    BREAKER_STATES, DaprMetrics, GrpcExchange, GrpcTraffic, HttpExchange, HttpTraffic, InitFailure,
    InputBindingMetrics, MetricsRules, OutputBindingMetrics, PolicyMetrics, PolicyTarget, ResiliencyMetrics,
};
pub use exposition::MetricsFormat;
pub use input::{InputMetrics, InputTotals};
pub use log_limit::LogLimit;
pub use log_output::{LogOutput, reopen_log_file};
pub use logging::{LogFormat, LogSettings, init as init_logging};
pub use metrics::{Metrics, MetricsSettings, UsedSeries};
pub use output::{OutputMetrics, RecordState};
pub use reads::{ReadMetrics, ResubscribeCause};
pub use requests::HttpMetrics;
pub use shaping::{ShapedSide, ShapingMetrics, ShapingResult};
pub use traces::{
    OtlpProtocol, OtlpSettings, Span, SpanContext, SpanExport, SpanKind, SpanParent, TraceSettings, Tracer,
    current_span, in_span,
};
