//! What happens to policies, for metrics.

use super::breaker::BreakerState;
use std::fmt::Debug;

/// Which way a policy works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Deliveries to the app.
    Inbound,
    /// Calls of an output.
    Outbound,
}

impl Flow {
    /// Dapr's word, for the label `flow_direction`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    Timeout,
    Retry,
    /// With its state: before the call for [`PolicyObserver::executed`], after the change for
    /// [`PolicyObserver::activated`].
    CircuitBreaker(BreakerState),
}

impl PolicyKind {
    /// Dapr's word, for the label `policy`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Retry => "retry",
            Self::CircuitBreaker(_) => "circuitbreaker",
        }
    }

    /// For the label `status`; empty unless it is a circuit breaker.
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::CircuitBreaker(state) => state.as_str(),
            Self::Timeout | Self::Retry => "",
        }
    }
}

/// The labels of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyEvent<'a> {
    /// Name of the document that was loaded last; Dapr labels all events with it.
    pub resiliency: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    pub kind: PolicyKind,
    pub flow: Flow,
    /// Dapr's label `target` is `Binding_` and this name.
    pub component: &'a str,
}

/// Counts what policies do. The default does nothing. Calls must not block.
pub trait PolicyObserver: Debug + Send + Sync {
    /// A document was loaded (`resiliency_loaded`).
    fn loaded(&self, _resiliency: &str, _namespace: &str) {}

    /// A policy wraps one operation (`resiliency_count`, and `resiliency_cb_state`).
    fn executed(&self, _event: PolicyEvent<'_>) {}

    /// A timeout passed, a retry began, or a breaker changed its state (`resiliency_activations_total`, and
    /// `resiliency_cb_state`). At most once for each operation and kind, as in Dapr.
    fn activated(&self, _event: PolicyEvent<'_>) {}
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NoObserver;

impl PolicyObserver for NoObserver {}
