//! What a component may use when it is connected; passed in instead of globals.

use super::{LeaseTables, Peers};
use crate::domain::WorkerId;
use crate::telemetry::Metrics;
use std::path::PathBuf;
use std::time::Duration;

/// The surroundings of a component.
#[derive(Debug, Clone)]
pub struct Toolbox {
    /// The app's id (`--app-id`); names lease tables and stream consumers where the file does not.
    pub app_id: String,
    /// This process among all others that read the same stream. New with each start, so that no two ever share it.
    pub worker: WorkerId,
    /// A PEM file of further certificate authorities that connections to AWS trust.
    pub ca_bundle: Option<PathBuf>,
    /// Where components take their metric handles.
    pub metrics: Metrics,
    /// The other components, once all are connected.
    pub peers: Peers,
    /// Which input uses which lease table.
    pub lease_tables: LeaseTables,
    /// How long an input may take to finish the record in hand when it is told to stop.
    pub drain_limit: Duration,
}
