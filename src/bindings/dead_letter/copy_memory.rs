//! Memory for dead letters that are being stored: each is a copy of its record, as JSON.

use crate::domain::DeadLetter;
use tokio::sync::{Semaphore, SemaphorePermit};

/// For the copies of one input at a time; further dead letters wait.
const MAX: usize = 16 << 20;
/// The unit in which memory is reserved.
const UNIT: usize = 1 << 10;

#[derive(Debug)]
pub(super) struct CopyMemory(Semaphore);

impl Default for CopyMemory {
    fn default() -> Self {
        Self(Semaphore::new(MAX / UNIT))
    }
}

impl CopyMemory {
    /// Reserves memory for one copy until the result is dropped. A record that needs more than there is gets all of it.
    pub(super) async fn reserve(&self, letter: &DeadLetter) -> Option<SemaphorePermit<'_>> {
        // Base64 takes a third more, and text with many escapes about twice as much.
        let units = (letter.event.data.len() * 2).div_ceil(UNIT).min(MAX / UNIT);
        // The semaphore is never closed.
        self.0.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::letter;
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn copies_wait_for_each_other_and_one_that_is_too_large_is_made_alone() {
        let memory = CopyMemory::default();
        let (small, large) = (letter(vec![0; MAX / 8], 0), letter(vec![0; MAX], 0));
        let reserve = |letter| memory.reserve(letter).now_or_never().flatten();
        let held: Vec<_> = (0..4).map(|_| reserve(&small).unwrap()).collect();
        assert!(reserve(&small).is_none() && reserve(&large).is_none());
        drop(held);
        let all = reserve(&large).unwrap();
        assert!(reserve(&small).is_none());
        drop(all);
        assert!(reserve(&small).is_some());
    }
}
