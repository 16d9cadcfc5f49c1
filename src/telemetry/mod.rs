//! Logs and metrics of the process. Other modules take typed handles from here; no other module names a metric.

mod credentials;
mod exposition;
mod input;
mod labels;
mod logging;
mod metrics;
mod output;
mod reads;
mod requests;

pub use credentials::CredentialMetrics;
pub use exposition::MetricsFormat;
pub use input::{InputMetrics, InputTotals};
pub use logging::{LogFormat, init as init_logging};
pub use metrics::Metrics;
pub use output::{OutputMetrics, RecordState};
pub use reads::{ReadMetrics, ResubscribeCause};
pub use requests::HttpMetrics;
