//! The input side: connects the consumer, the lease table, and polling or enhanced fan-out.

use super::super::context::{LeaseTableReservation, LeaseTables};
use super::dapr_leases::{AdoptedLease, adopt, missing};
use super::delivery_spec::DeliverySpec;
use super::input_spec::{Fallback, InputSpec, Mode};
use crate::aws::kinesis::{Directory, FanOut, Polling, RegistrationError, RegistrationSettings};
use crate::aws::lease_table::LeaseTable;
use crate::aws::{Connection, StreamRef};
use crate::consumer::{
    ConsumerSettings, InputStatus, Ports, RecordShaping, RenewerThread, Renewers, SharedLimits, StreamState, Worker,
};
use crate::domain::{
    BindingError, ComponentName, DeadLetterStore, Decompress, DrainLimits, EventFormat, EventHandler, EventSource,
    FailureKind, InputBinding, InputReport, LeaseError, LeaseStore, Retrieval, Stop, Timestamp, WorkerId,
};
use crate::telemetry::{InputMetrics, ReadMetrics};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

const NOT_REGISTERED: &str = "the consumer of enhanced fan-out was not active";

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
    /// Kept over restarts, until the input is released.
    pub(super) reservation: Mutex<Option<LeaseTableReservation>>,
    /// What the filter and the transform do.
    pub(super) shaping: RecordShaping,
    /// Shared with the other inputs of the process.
    pub(super) limits: SharedLimits,
    pub(super) source: EventSource,
    pub(super) dead_letters: Option<Arc<dyn DeadLetterStore>>,
    /// Differs from `connection` only with `leaseEndpoint`.
    pub(super) lease_connection: Connection,
    pub(super) drain_limits: DrainLimits,
    pub(super) worker: WorkerId,
    /// Kept while the process runs, so that a restart of the input forgets nothing.
    pub(super) stream_state: Arc<StreamState>,
    /// Kept for the same reason.
    pub(super) status: InputStatus,
    /// Why the input polls instead of enhanced fan-out.
    pub(super) fallback: Mutex<Option<String>>,
    pub(super) metrics: InputMetrics,
    pub(super) read_metrics: ReadMetrics,
}

#[async_trait]
impl InputBinding for Input {
    async fn read(&self, handler: Arc<dyn EventHandler>, stop: Stop) -> Result<(), BindingError> {
        self.stream_state.mark_started(Instant::now());
        self.reserve_lease_table()?;
        let retrieval = tokio::select! {
            // Biased: nothing was read yet, so a stop may win at once.
            biased;
            () = stop.finishing() => return Ok(()),
            retrieval = self.retrieval() => retrieval?,
        };
        self.status.call_succeeded(NOT_REGISTERED);
        let table = LeaseTable::new(&self.lease_connection, self.lease_table.clone(), self.spec.lease_duration);
        tokio::select! {
            // Biased, for the same reason.
            biased;
            () = stop.finishing() => return Ok(()),
            adopted = self.adopt_dapr_leases(&table) => adopted?,
        }
        let leases: Arc<dyn LeaseStore> = Arc::new(table);
        let renewals = LeaseTable::apart(&self.lease_connection, self.lease_table.clone(), self.spec.lease_duration);
        let thread = RenewerThread::start().map_err(|error| {
            BindingError::new(FailureKind::Transient, "the thread that renews leases could not be started")
                .with_source(error)
        })?;
        let ports = Ports {
            directory: Arc::new(Directory::new(&self.connection, self.stream.clone())),
            retrieval,
            renewers: Renewers::on(thread.runtime().clone(), Arc::new(renewals)),
            leases,
            handler,
            dead_letters: self.dead_letters.clone(),
        };
        let settings = ConsumerSettings {
            lease_table: self.lease_table.as_str().into(),
            stream_state: Arc::clone(&self.stream_state),
            status: self.status.clone(),
            initial_position: self.spec.initial_position,
            lease_duration: self.spec.lease_duration,
            checkpoint_interval: self.spec.checkpoint_interval,
            drain_limits: self.drain_limits,
            delivery: self.spec.delivery.settings.clone(),
            shaping: self.shaping.clone(),
            on_gap: self.spec.on_gap,
            on_invalid_checkpoint: self.spec.on_invalid_checkpoint,
            limits: self.limits.clone(),
            seed: fastrand::u64(..),
            ..ConsumerSettings::for_binding(self.binding.clone(), self.worker.clone())
        };
        let worker = Worker::new(settings, ports, self.metrics.clone());
        worker.run(stop).await.map_err(|error| {
            BindingError::new(error.kind(), format!("reading stream {} stopped: {error}", self.stream.name()))
                .with_source(error)
        })
    }

    fn release(&self) {
        self.reservation.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn event_format(&self) -> EventFormat {
        let DeliverySpec { body, content_type, partial, decompress, .. } = &self.spec.delivery;
        EventFormat {
            body: *body,
            content_type: content_type.clone(),
            partial: *partial,
            // A transform has decompressed the records already.
            decompress: if self.shaping.transform.is_some() { Decompress::Off } else { *decompress },
            source: self.source.clone(),
        }
    }

    fn refusal(&self) -> Option<String> {
        self.stream_state.refusal().or_else(|| self.status.refusal(Instant::now()))
    }

    fn fallback(&self) -> Option<String> {
        self.fallback.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn report(&self) -> Option<InputReport> {
        let now = Instant::now();
        Some(InputReport {
            mode: self.spec.mode.as_str(),
            stream: self.stream.name().to_owned(),
            lease_table: self.lease_table.clone(),
            worker: self.worker.clone(),
            last_error: self.status.last_error(now),
            shards: self.status.shards(&self.stream_state, &self.worker, now),
        })
    }
}

impl Input {
    fn reserve_lease_table(&self) -> Result<(), BindingError> {
        let mut reservation = self.reservation.lock().unwrap_or_else(PoisonError::into_inner);
        if reservation.is_none() {
            *reservation = Some(self.lease_tables.reserve(&self.lease_table, &self.binding)?);
        }
        Ok(())
    }

    /// Creates the leases that daprd has and the own table has not. At each start, because an earlier one may have ended
    /// between two of them; a lease that exists stays as it is, and a table that a worker has used stays as it is.
    async fn adopt_dapr_leases(&self, table: &LeaseTable) -> Result<(), BindingError> {
        let Some(name) = &self.spec.dapr_table else { return Ok(()) };
        let failed = |error: LeaseError| {
            BindingError::new(error.kind(), format!("the positions of daprd were not taken over: {error}"))
                .with_source(error)
        };
        let source = LeaseTable::new(&self.lease_connection, name.clone(), self.spec.lease_duration);
        let rows = match source.dapr_rows().await {
            Err(error) if error.kind() == FailureKind::NotFound => {
                tracing::warn!(component = %self.binding, table = name, "no lease table of daprd; nothing was taken over");
                return Ok(());
            }
            rows => rows.map_err(failed)?,
        };
        let adopted = adopt(&rows, wall_clock(), false)
            .map_err(|runs| BindingError::new(FailureKind::Conflict, runs.to_string()))?;
        table.prepare().await.map_err(failed)?;
        let existing = table.rows().await.map_err(failed)?.leases;
        let missing = missing(&adopted, &existing);
        for AdoptedLease { lease, children } in &missing {
            table.insert(lease, children).await.map_err(failed)?;
        }
        if !missing.is_empty() {
            tracing::info!(
                component = %self.binding, from = name, to = self.lease_table, shards = missing.len(),
                "positions of daprd were taken over"
            );
        }
        Ok(())
    }

    async fn retrieval(&self) -> Result<Arc<dyn Retrieval>, BindingError> {
        self.set_fallback(None);
        if self.spec.mode == Mode::Shared {
            return Ok(self.polling());
        }
        self.status.call_failed(NOT_REGISTERED, "see the last warning in the log".to_owned(), Instant::now());
        let settings = RegistrationSettings {
            create: self.spec.create_consumer,
            wait_at_limit: self.spec.fallback == Fallback::None,
        };
        let registered = FanOut::register_with(&self.connection, self.stream.clone(), &self.consumer, settings).await;
        match registered {
            Ok(fan_out) => Ok(Arc::new(fan_out.with_metrics(self.read_metrics.clone()))),
            Err(RegistrationError::Refused(error)) if self.spec.fallback == Fallback::Shared => {
                let stream = self.stream.name();
                tracing::warn!(component = %self.binding, stream, %error, "stream is polled instead of enhanced fan-out");
                self.set_fallback(Some(format!("polling instead of enhanced fan-out: {error}")));
                Ok(self.polling())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn polling(&self) -> Arc<dyn Retrieval> {
        let polling = Polling::new(&self.connection, self.stream.clone(), self.read_metrics.clone());
        Arc::new(polling.with_interval(self.spec.poll_interval))
    }

    fn set_fallback(&self, why: Option<String>) {
        *self.fallback.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

#[expect(clippy::disallowed_methods, reason = "the leases of daprd end at wall-clock times")]
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
