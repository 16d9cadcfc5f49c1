//! Backoff, retry budget and the one retry policy, as values. Pure, except for the loop in [`Retry::run`], which sleeps.

mod backoff;
mod budget;
mod retry;

pub use backoff::{Backoff, InvalidBackoff, Waits};
pub use budget::RetryBudget;
pub use retry::{Decision, Idempotency, Retry, RetryPolicy, RetryState, Success};
