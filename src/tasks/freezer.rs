//! Suspends tasks in tests, as a stopped process or a paused virtual machine does. Behind the feature `testing`.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

thread_local! {
    /// The freezer of the task that is being polled. Tasks that it spawns get the same.
    static CURRENT: RefCell<Option<Freezer>> = const { RefCell::new(None) };
}

#[derive(Debug, Default)]
struct State {
    is_frozen: bool,
    /// Of the tasks that were woken meanwhile.
    wakers: Vec<Waker>,
}

/// While it is frozen, its tasks are not polled: the future that it wraps, and all tasks that this one spawned through a
/// [`super::Supervisor`]. Timers go on. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Freezer {
    state: Arc<Mutex<State>>,
}

impl Freezer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn freeze(&self) {
        self.with(|state| state.is_frozen = true);
    }

    pub fn thaw(&self) {
        let wakers = self.with(|state| {
            state.is_frozen = false;
            std::mem::take(&mut state.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.with(|state| state.is_frozen)
    }

    /// Puts a future and the tasks that it will spawn under this freezer.
    pub fn wrap<F: Future>(&self, future: F) -> Freezable<F> {
        Freezable { freezer: Some(self.clone()), future: Box::pin(future) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts a future under the freezer of the task that is being polled, if it has one.
pub(super) fn inherit<F: Future>(future: F) -> Freezable<F> {
    Freezable { freezer: CURRENT.with_borrow(Clone::clone), future: Box::pin(future) }
}

/// A future that may be under a [`Freezer`].
#[derive(Debug)]
pub struct Freezable<F> {
    freezer: Option<Freezer>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if let Some(freezer) = &this.freezer {
            let is_frozen = freezer.with(|state| {
                if state.is_frozen && !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                state.is_frozen
            });
            if is_frozen {
                return Poll::Pending;
            }
        }
        let outer = CURRENT.replace(this.freezer.clone());
        let result = this.future.as_mut().poll(context);
        CURRENT.set(outer);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::super::Supervisor;
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_frozen_task_and_its_children_stand_still_and_go_on_later() {
        let (freezer, begun) = (Freezer::new(), Instant::now());
        let mut parent = Supervisor::new();
        let task = async move {
            let mut child = Supervisor::new();
            child.spawn("child", async move {
                sleep(Duration::from_secs(1)).await;
                begun.elapsed()
            });
            child.next().await.unwrap().result.unwrap()
        };
        parent.spawn("parent", freezer.wrap(task));
        sleep(Duration::from_millis(500)).await;
        freezer.freeze();
        sleep(Duration::from_secs(10)).await;
        assert!(freezer.is_frozen() && parent.contains("parent"));
        freezer.thaw();
        let ended = parent.next().await.unwrap().result.unwrap();
        assert_eq!(ended.as_millis() / 10, 1_050, "the child's timer fired while it was frozen");
    }
}
