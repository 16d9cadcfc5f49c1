//! What a run may still spend. It is kept per thread: a run begins and ends on one thread, and the operators of a value
//! have no other way to reach it.

use std::cell::Cell;

use super::limits::{Limit, Limits};

/// Bytes of text that cost as much as one step of the program.
const BYTES_PER_STEP: usize = 256;
/// Elements of an array that cost as much as one step.
const ELEMENTS_PER_STEP: usize = 8;

#[derive(Debug)]
struct Budget {
    steps: Cell<u64>,
    max_bytes: Cell<usize>,
    max_nesting: Cell<usize>,
    exceeded: Cell<Option<Limit>>,
}

thread_local! {
    static BUDGET: Budget = const {
        Budget { steps: Cell::new(0), max_bytes: Cell::new(0), max_nesting: Cell::new(0), exceeded: Cell::new(None) }
    };
}

/// Begins a run.
pub(super) fn begin(limits: &Limits) {
    BUDGET.with(|budget| {
        budget.steps.set(limits.steps);
        budget.max_bytes.set(limits.output_bytes);
        budget.max_nesting.set(limits.nesting);
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
    BUDGET.with(|budget| {
        match budget.steps.get().checked_sub(steps as u64) {
            Some(left) => budget.steps.set(left),
            None => {
                budget.steps.set(0);
                exceed(Limit::Steps);
            }
        }
        budget.exceeded.get().is_none()
    })
}

pub(super) fn charge_bytes(bytes: usize) -> bool {
    charge(bytes / BYTES_PER_STEP)
}

pub(super) fn charge_elements(elements: usize) -> bool {
    charge(elements / ELEMENTS_PER_STEP)
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
