//! What a run may still spend. It is kept per thread: a run begins and ends on one thread, and the operators of a value
//! have no other way to reach it.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{Limit, Limits};

/// What one step of the program is worth. Elements of arrays and bytes of texts are counted in smaller units.
const UNITS_PER_STEP: u64 = 8;
const BYTES_PER_UNIT: usize = 32;
/// The clock is read once for so many units: reading it for each step would cost more than the step.
const UNITS_PER_CLOCK: u64 = 512 * UNITS_PER_STEP;

#[derive(Debug)]
struct Budget {
    units: Cell<u64>,
    /// The clock is read when `units` is below this.
    next_clock: Cell<u64>,
    max_time: Cell<Duration>,
    /// When the clock was first read: a short run never reads it.
    began: Cell<Option<Instant>>,
    max_bytes: Cell<usize>,
    max_nesting: Cell<usize>,
    /// Steps of paths that are being updated inside each other.
    open_paths: Cell<usize>,
    exceeded: Cell<Option<Limit>>,
}

thread_local! {
    static BUDGET: Budget = const {
        Budget {
            units: Cell::new(0),
            next_clock: Cell::new(0),
            max_time: Cell::new(Duration::ZERO),
            began: Cell::new(None),
            max_bytes: Cell::new(0),
            max_nesting: Cell::new(0),
            open_paths: Cell::new(0),
            exceeded: Cell::new(None),
        }
    };
}

/// Begins a run.
pub(super) fn begin(limits: &Limits) {
    BUDGET.with(|budget| {
        let units = limits.steps.saturating_mul(UNITS_PER_STEP);
        budget.units.set(units);
        budget.next_clock.set(units.saturating_sub(UNITS_PER_CLOCK));
        budget.max_time.set(limits.time);
        budget.began.set(None);
        budget.max_bytes.set(limits.output_bytes);
        budget.max_nesting.set(limits.nesting);
        budget.open_paths.set(0);
        budget.exceeded.set(None);
    });
}

/// The limit that the run exceeded, if any. It stays so until the next run begins: no `try` brings it back.
pub(super) fn exceeded() -> Option<Limit> {
    BUDGET.with(|budget| budget.exceeded.get())
}

pub(super) fn exceed(limit: Limit) {
    BUDGET.with(|budget| {
        if budget.exceeded.get().is_none() {
            budget.exceeded.set(Some(limit));
        }
    });
}

/// Takes steps; false if the run is over its limit.
pub(super) fn charge(steps: usize) -> bool {
    charge_units((steps as u64).saturating_mul(UNITS_PER_STEP))
}

/// Bytes that are read or made.
pub(super) fn charge_bytes(bytes: usize) -> bool {
    charge_units((bytes / BYTES_PER_UNIT) as u64)
}

/// Elements that are made or looked at: eight cost as much as a step.
pub(super) fn charge_elements(elements: usize) -> bool {
    charge_units(elements as u64)
}

fn charge_units(units: u64) -> bool {
    BUDGET.with(|budget| {
        match budget.units.get().checked_sub(units) {
            Some(left) => {
                budget.units.set(left);
                if left < budget.next_clock.get() {
                    budget.next_clock.set(left.saturating_sub(UNITS_PER_CLOCK));
                    budget.check_time();
                }
            }
            None => {
                budget.units.set(0);
                exceed(Limit::Steps);
            }
        }
        budget.exceeded.get().is_none()
    })
}

/// Reads the clock after an operation that may take long; false if the run is over its limit.
pub(super) fn check_time() -> bool {
    BUDGET.with(|budget| {
        budget.check_time();
        budget.exceeded.get().is_none()
    })
}

impl Budget {
    fn check_time(&self) {
        let now = Instant::now();
        match self.began.get() {
            None => self.began.set(Some(now)),
            Some(began) if now.duration_since(began) >= self.max_time.get() => exceed(Limit::Time),
            Some(_) => {}
        }
    }
}

/// Whether a value of this size, in bytes of JSON, and this nesting may be made.
pub(super) fn allows(size: usize, nesting: usize) -> bool {
    BUDGET.with(|budget| {
        if size > budget.max_bytes.get() {
            exceed(Limit::Bytes);
        } else if nesting > budget.max_nesting.get() {
            exceed(Limit::Nesting);
        }
        budget.exceeded.get().is_none()
    })
}

pub(super) fn max_nesting() -> usize {
    BUDGET.with(|budget| budget.max_nesting.get())
}

/// Goes one step of a path down by recursion; false, and nothing to go up from, if all open paths together are as long as
/// values may be nested.
pub(super) fn descend() -> bool {
    BUDGET.with(|budget| {
        let open = budget.open_paths.get();
        if open >= budget.max_nesting.get() {
            return false;
        }
        budget.open_paths.set(open + 1);
        true
    })
}

/// The end of [`descend`].
pub(super) fn ascend() {
    BUDGET.with(|budget| budget.open_paths.set(budget.open_paths.get().saturating_sub(1)));
}
