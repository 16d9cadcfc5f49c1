//! The memory that the bodies of all requests take together, so that one caller cannot exhaust it for the others.

use super::error::MalformedRequest;
use tokio::sync::Semaphore;

/// A number of bytes. No request waits for them: what does not fit is refused.
#[derive(Debug)]
pub struct BodyMemory {
    max: usize,
    free: Semaphore,
}

/// The bytes of one request; released when dropped.
#[derive(Debug)]
pub struct Reservation<'m> {
    memory: &'m BodyMemory,
    bytes: usize,
}

impl BodyMemory {
    /// `None` is no limit.
    #[must_use]
    pub fn new(max: Option<usize>) -> Self {
        let max = max.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { max, free: Semaphore::new(max) }
    }

    /// An empty reservation, which grows while a body is read.
    #[must_use]
    pub const fn reservation(&self) -> Reservation<'_> {
        Reservation { memory: self, bytes: 0 }
    }

    /// The limit in bytes. A larger body never fits.
    pub(super) const fn max(&self) -> usize {
        self.max
    }
}

impl Reservation<'_> {
    /// Reserves more bytes.
    ///
    /// # Errors
    /// When they do not fit now; then nothing more is reserved.
    pub fn grow(&mut self, bytes: usize) -> Result<(), MalformedRequest> {
        // No chunk of a body is as large as 4 GiB.
        let permits = u32::try_from(bytes).ok().and_then(|bytes| self.memory.free.try_acquire_many(bytes).ok());
        let Some(permits) = permits else { return Err(MalformedRequest::BufferFull { limit: self.memory.max }) };
        // Released by `drop`, all at once.
        permits.forget();
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.memory.free.add_permits(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reserved(memory: &BodyMemory) -> usize {
        memory.max - memory.free.available_permits()
    }

    #[test]
    fn dropped_reservations_are_released() {
        let memory = BodyMemory::new(Some(10));
        let (mut first, mut second) = (memory.reservation(), memory.reservation());
        let full = Err(MalformedRequest::BufferFull { limit: 10 });
        assert_eq!((first.grow(6), second.grow(5), second.grow(4)), (Ok(()), full, Ok(())));
        drop(first);
        assert_eq!((second.grow(6), reserved(&memory)), (Ok(()), 10));
        drop(second);
        assert_eq!(reserved(&memory), 0);
    }

    #[test]
    fn without_a_limit_large_bodies_fit() {
        let memory = BodyMemory::new(None);
        let mut reservation = memory.reservation();
        assert_eq!((reservation.grow(3 << 30), reservation.grow(3 << 30)), (Ok(()), Ok(())));
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_is_reserved(limit in 0_usize..100, steps in proptest::collection::vec((0_usize..5, 0_usize..60), 0..60)) {
            let memory = BodyMemory::new(Some(limit));
            let mut reservations: Vec<Reservation<'_>> = (0..5).map(|_| memory.reservation()).collect();
            for (place, bytes) in steps {
                if bytes < 10 {
                    reservations[place] = memory.reservation();
                } else {
                    let before = reserved(&memory);
                    prop_assert_eq!(reservations[place].grow(bytes).is_ok(), before + bytes <= limit);
                }
                prop_assert!(reserved(&memory) <= limit);
                let sum: usize = reservations.iter().map(|reservation| reservation.bytes).sum();
                prop_assert_eq!(reserved(&memory), sum);
            }
        }
    }
}
