//! How much of all request bodies together is in memory. One counter for the whole face: what one caller sends must not
//! drown the others, nor the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that request bodies may take. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    limit: usize,
    held: Arc<AtomicUsize>,
}

/// The bytes of one request; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    buffer: Buffer,
    bytes: usize,
}

/// The bodies of all requests together take all the memory that they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// How much that is, in bytes.
    pub(super) limit: usize,
}

impl Buffer {
    /// A buffer of `limit` bytes; `None` is no limit.
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit: limit.unwrap_or(usize::MAX), held: Arc::default() }
    }

    /// An empty share, which grows as a body is read.
    pub(super) fn share(&self) -> Share {
        Share { buffer: self.clone(), bytes: 0 }
    }

    /// All of it, in bytes. A larger body never fits.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes held now.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When they do not fit now; nothing is taken then.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        // Only the sum matters, and nothing is read through it, so no ordering is needed.
        let grown = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.buffer.limit);
        self.buffer
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .map_err(|_| Full { limit: self.buffer.limit })?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.buffer.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let buffer = Buffer::new(Some(10));
        let (mut first, mut second) = (buffer.share(), buffer.share());
        assert_eq!((first.grow(6), second.grow(5), second.grow(4)), (Ok(()), Err(Full { limit: 10 }), Ok(())));
        drop(first);
        assert_eq!((second.grow(6), buffer.held()), (Ok(()), 10));
        drop(second);
        assert_eq!(buffer.held(), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_is_held(limit in 0_usize..100, steps in proptest::collection::vec((0_usize..5, 0_usize..60), 0..60)) {
            let buffer = Buffer::new(Some(limit));
            let mut shares: Vec<Share> = (0..5).map(|_| buffer.share()).collect();
            for (place, bytes) in steps {
                if bytes < 10 {
                    shares[place] = buffer.share();
                } else {
                    let held = buffer.held();
                    prop_assert_eq!(shares[place].grow(bytes).is_ok(), held + bytes <= limit);
                }
                prop_assert!(buffer.held() <= limit);
                prop_assert_eq!(buffer.held(), shares.iter().map(|share| share.bytes).sum::<usize>());
            }
        }
    }
}
