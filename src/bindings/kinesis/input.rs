//! The input side: connects the consumer, the lease table, and polling or enhanced fan-out.

use super::super::LeaseTables;
use super::spec::{InputSpec, Mode};
use crate::aws::kinesis::{Directory, FanOut, Polling};
use crate::aws::lease_table::LeaseTable;
use crate::aws::{Connection, StreamRef};
use crate::consumer::{ConsumerSettings, Keepers, Ports, StreamState, Worker};
use crate::domain::{BindingError, ComponentName, EventHandler, InputBinding, LeaseStore, Retrieval, Stop, WorkerId};
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Input {
    pub(super) binding: ComponentName,
    pub(super) connection: Connection,
    pub(super) stream: StreamRef,
    pub(super) spec: InputSpec,
    /// Names the registered stream consumer and, unless the file names another, the lease table.
    pub(super) consumer: String,
    pub(super) lease_table: String,
    pub(super) lease_tables: LeaseTables,
    /// Differs from `connection` only with `leaseEndpoint`.
    pub(super) lease_connection: Connection,
    pub(super) drain_limit: Duration,
    pub(super) worker: WorkerId,
    /// Kept while the process runs, so that a restart of the input forgets nothing.
    pub(super) stream_state: Arc<StreamState>,
    pub(super) metrics: InputMetrics,
}

#[async_trait]
impl InputBinding for Input {
    async fn read(&self, handler: Arc<dyn EventHandler>, stop: Stop) -> Result<(), BindingError> {
        self.stream_state.mark_started(Instant::now());
        self.lease_tables.reserve(&self.lease_table, &self.binding)?;
        let retrieval = tokio::select! {
            // Biased: nothing was read yet, so a stop may win at once.
            biased;
            () = stop.finishing() => return Ok(()),
            retrieval = self.retrieval() => retrieval?,
        };
        let leases: Arc<dyn LeaseStore> =
            Arc::new(LeaseTable::new(&self.lease_connection, self.lease_table.clone(), self.spec.lease_duration));
        let ports = Ports {
            directory: Arc::new(Directory::new(&self.connection, self.stream.clone())),
            retrieval,
            keepers: Keepers::here(Arc::clone(&leases)),
            leases,
            handler,
            dead_letters: None,
        };
        let settings = ConsumerSettings {
            lease_table: self.lease_table.as_str().into(),
            stream_state: Arc::clone(&self.stream_state),
            initial_position: self.spec.initial_position,
            lease_duration: self.spec.lease_duration,
            drain_limit: self.drain_limit,
            seed: fastrand::u64(..),
            ..ConsumerSettings::for_binding(self.binding.clone(), self.worker.clone())
        };
        let worker = Worker::new(settings, ports, self.metrics.clone());
        worker.run(stop).await.map_err(|error| {
            BindingError::new(error.kind(), format!("reading stream {} stopped: {error}", self.stream.name()))
                .with_source(error)
        })
    }

    fn refusal(&self) -> Option<String> {
        self.stream_state.refusal()
    }
}

impl Input {
    async fn retrieval(&self) -> Result<Arc<dyn Retrieval>, BindingError> {
        match self.spec.mode {
            Mode::Shared => Ok(Arc::new(Polling::new(&self.connection, self.stream.clone()))),
            Mode::Extended => {
                let fan_out = FanOut::register(&self.connection, self.stream.clone(), &self.consumer).await?;
                Ok(Arc::new(fan_out))
            }
        }
    }
}
