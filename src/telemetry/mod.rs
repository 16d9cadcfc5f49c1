//! Logs and metrics of the process. Rooms above take typed handles from here; nobody else names a metric.

mod credentials;
mod exposition;
mod logging;
mod metrics;
mod output;

pub use credentials::CredentialMetrics;
pub use exposition::MetricsFormat;
pub use logging::{LogFormat, init as init_logging};
pub use metrics::{InputMetrics, Metrics};
pub use output::{OutputMetrics, RecordState};
