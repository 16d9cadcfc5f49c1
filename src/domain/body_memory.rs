//! The memory that the bodies of all requests and responses take together, so that one caller cannot exhaust it for the
//! others.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A number of bytes (`--max-buffer`). Nothing waits for them: what does not fit is refused. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct BodyMemory {
    max: usize,
    free: Arc<Semaphore>,
}

/// The bytes of one body; released when dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: BodyMemory,
    bytes: usize,
}

/// The bytes of other bodies fill the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the sidecar holds the maximum of request and response bodies in memory (--max-buffer, {limit} bytes): retry soon, \
     send fewer requests at a time, or read responses faster"
)]
pub struct BodyMemoryFull {
    /// In bytes.
    pub limit: usize,
}

impl BodyMemory {
    /// `None` is no limit.
    #[must_use]
    pub fn new(max: Option<usize>) -> Self {
        let max = max.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { max, free: Arc::new(Semaphore::new(max)) }
    }

    /// An empty reservation, which grows while a body is read.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { memory: self.clone(), bytes: 0 }
    }

    /// The limit in bytes. A larger body never fits.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }
}

impl Reservation {
    /// Reserves more bytes.
    ///
    /// # Errors
    /// When they do not fit now; then nothing more is reserved.
    pub fn grow(&mut self, bytes: usize) -> Result<(), BodyMemoryFull> {
        // Nothing is as large as 4 GiB at once.
        let permits = u32::try_from(bytes).ok().and_then(|bytes| self.memory.free.try_acquire_many(bytes).ok());
        let Some(permits) = permits else { return Err(BodyMemoryFull { limit: self.memory.max }) };
        // Released by `drop`, all at once.
        permits.forget();
        self.bytes += bytes;
        Ok(())
    }

    /// Reserves what is missing to this many bytes in all.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), BodyMemoryFull> {
        self.grow(bytes.saturating_sub(self.bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.free.add_permits(self.bytes);
    }
}

/// The memory of the data of a response; none is reserved by default. Not a part of what the response says, so all are
/// equal.
#[derive(Debug, Clone, Default)]
pub struct ReservedMemory(Option<Arc<Reservation>>);

impl ReservedMemory {
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        self.0.is_some()
    }

    /// The data with this memory, which is released with the last slice of them.
    #[must_use]
    pub fn hold(self, data: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held { data, _memory: self })
    }
}

impl From<Reservation> for ReservedMemory {
    fn from(reservation: Reservation) -> Self {
        Self(Some(Arc::new(reservation)))
    }
}

impl PartialEq for ReservedMemory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ReservedMemory {}

struct Held<D> {
    data: D,
    _memory: ReservedMemory,
}

impl<D: AsRef<[u8]>> AsRef<[u8]> for Held<D> {
    fn as_ref(&self) -> &[u8] {
        self.data.as_ref()
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
        let full = Err(BodyMemoryFull { limit: 10 });
        assert_eq!((first.grow(6), second.grow(5), second.grow(4)), (Ok(()), full, Ok(())));
        drop(first);
        assert_eq!((second.grow_to(10), second.grow_to(9), reserved(&memory)), (Ok(()), Ok(()), 10));
        drop(second);
        assert_eq!(reserved(&memory), 0);
    }

    #[test]
    fn data_keep_their_reservation_until_the_last_slice_is_dropped() {
        let memory = BodyMemory::new(Some(10));
        let mut reservation = memory.reservation();
        reservation.grow(4).unwrap();
        let data = ReservedMemory::from(reservation).hold(Bytes::from_static(b"abcd"));
        let slice = data.slice(1..2);
        drop(data);
        assert_eq!((&slice[..], reserved(&memory)), (&b"b"[..], 4));
        drop(slice);
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
            let mut reservations: Vec<Reservation> = (0..5).map(|_| memory.reservation()).collect();
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
