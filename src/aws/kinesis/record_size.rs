//! How many records to request, so that they probably fit into the memory that is reserved for them. Pure.

/// The largest `Limit` of `GetRecords`.
const MAX_LIMIT: usize = 10_000;
/// The size that is assumed before the first response: that of a large record, since all shards may be read for the first
/// time at once. The first read costs one call more then.
const FIRST_GUESS: f64 = 1_048_576.0;
/// Half of the responses have records that are larger than the average.
const HEADROOM: f64 = 1.25;
/// How much a response with larger records counts, and one with smaller records. Too many records cost memory, too few
/// only another call.
const WEIGHTS: (f64, f64) = (0.5, 0.2);

/// The moving average of the memory that one record of the stream takes, with all records of an aggregate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RecordSize(Option<f64>);

impl RecordSize {
    /// `Limit` for a call whose response may take `max_bytes`: 1 to 10,000.
    pub(super) fn limit(self, max_bytes: usize) -> usize {
        let size = self.0.unwrap_or(FIRST_GUESS).max(1.0) * HEADROOM;
        ((max_bytes as f64 / size) as usize).clamp(1, MAX_LIMIT)
    }

    /// After a response of so many records of the stream that take so many bytes of memory.
    pub(super) fn observe(&mut self, records: usize, bytes: usize) {
        if records == 0 {
            return;
        }
        let seen = bytes as f64 / records as f64;
        self.0 = Some(self.0.map_or(seen, |average| {
            let weight = if seen > average { WEIGHTS.0 } else { WEIGHTS.1 };
            average + (seen - average) * weight
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_limit_follows_the_size_of_records() {
        let mut size = RecordSize::default();
        assert_eq!((size.limit(10 * MIB), size.limit(1)), (8, 1));
        size.observe(0, 0);
        assert_eq!(size.limit(10 * MIB), 8);
        size.observe(100, 100 * 1_000);
        assert_eq!(size.limit(MIB), 838);
        // One response of aggregates of 1 MiB.
        size.observe(1, MIB);
        assert!(size.limit(10 * MIB) <= 16);
        for _ in 0..60 {
            size.observe(100, 100 * 1_000);
        }
        assert!((830..=838).contains(&size.limit(MIB)), "{}", size.limit(MIB));
    }

    #[test]
    fn at_least_one_record_and_at_most_ten_thousand_are_requested() {
        let mut size = RecordSize::default();
        size.observe(1, 10 * MIB);
        assert_eq!((size.limit(0), size.limit(MIB)), (1, 1));
        let mut small = RecordSize::default();
        small.observe(1, 1);
        assert_eq!(small.limit(usize::MAX), 10_000);
    }

    proptest! {
        #[test]
        fn a_response_of_equal_records_fits(record in 1_usize..MIB, max in 1_usize..(64 * MIB)) {
            let mut size = RecordSize::default();
            size.observe(3, 3 * record);
            let limit = size.limit(max);
            prop_assert!((1..=10_000).contains(&limit));
            prop_assert!(limit == 1 || limit * record <= max);
        }
    }
}
