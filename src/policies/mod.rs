//! Policies of `Resiliency` documents: timeouts, retries and circuit breakers of components.
//!
//! [`Policies`] holds what the documents say and can be reloaded at any time. [`Policies::outbound`] wraps the call of an
//! output: `retry(circuit breaker(timeout(call)))`, as Dapr does. [`Policies::handler`] wraps the delivery of events. There
//! the consumer's redelivery is the retry: the policy gives the pauses between the deliveries of an event, and the
//! timeout and the circuit breaker wrap each delivery.
//!
//! ```text
//! ResiliencyDocument ──► ResiliencySpec ──► PolicySet ──► Policies ──► OutboundPolicy, PolicyHandler
//!   (manifest)            one document       all of them   current
//! ```
//!
//! Invariants: one layer retries a call. What a policy repeats, the component does not repeat itself
//! ([`OutputBinding::attempt`](crate::domain::OutputBinding::attempt)). A policy never gives up an event: that needs a
//! place for dead letters. The decisions are pure; `outbound` and `inbound` alone wait, log and lock.

mod breaker;
mod breaker_slot;
mod counts;
mod expression;
mod expression_parser;
mod expression_tree;
mod fields;
mod inbound;
mod matching;
mod observer;
mod outbound;
mod registry;
mod retry;
mod set;
mod spec;

pub use breaker::{BreakerSpec, BreakerState, CircuitBreaker, Rejection, Ticket};
pub use counts::Counts;
pub use expression::Trip;
pub use expression_tree::InvalidExpression;
pub use inbound::PolicyHandler;
pub use matching::{InvalidRange, StatusRanges};
pub use observer::{Flow, PolicyEvent, PolicyKind, PolicyObserver};
pub use outbound::OutboundPolicy;
pub use registry::Policies;
pub use retry::{Exponential, Retry, Schedule};
pub use set::PolicySet;
pub use spec::{PolicyNames, ResiliencySpec, Targets};
