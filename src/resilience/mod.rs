//! Policies as values: how long to wait, whether to try again. Pure but for the one loop that sleeps.

mod backoff;
mod budget;
mod retry;

pub use backoff::{Backoff, InvalidBackoff, Waits};
pub use budget::RetryBudget;
pub use retry::{Attempt, Repeat, Retry, Spent};
