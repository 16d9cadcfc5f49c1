//! The `traceparent` of a delivery: <https://www.w3.org/TR/trace-context/>.

use crate::domain::EventOrigin;
use std::fmt;

/// Version 00, flag `sampled`: an app with the default sampler of OpenTelemetry records the trace, as it does without the
/// header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceParent {
    /// The same for each delivery of an event.
    trace: u128,
    span: u64,
}

impl TraceParent {
    /// `span` tells the deliveries of one event apart.
    pub(super) fn new(stream: &str, origin: &EventOrigin, span: u64) -> Self {
        // Ids of zeros only are invalid.
        Self { trace: trace(stream, origin), span: span.max(1) }
    }
}

/// The trace of all deliveries of an event; never 0.
pub(super) fn trace(stream: &str, origin: &EventOrigin) -> u128 {
    let position = &origin.position;
    let texts = [stream, origin.shard.as_str(), position.sequence.as_str()];
    // Texts are separated by a byte that UTF-8 does not have.
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0xff])).chain(position.sub_sequence.to_be_bytes());
    mixed(bytes.fold(FNV_OFFSET, fnv1a)).max(1)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

// FNV-1a of 128 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

const fn fnv1a(hash: u128, byte: u8) -> u128 {
    (hash ^ byte as u128).wrapping_mul(FNV_PRIME)
}

/// Spreads the differences of similar hashes over all bits, because samplers decide by the upper bits of each half.
#[expect(clippy::cast_possible_truncation, reason = "the halves of the number")]
const fn mixed(hash: u128) -> u128 {
    let low = finalized(hash as u64);
    let high = finalized((hash >> 64) as u64 ^ low);
    (high as u128) << 64 | low as u128
}

/// The finalizer of MurmurHash3, which is a permutation.
const fn finalized(mut half: u64) -> u64 {
    half ^= half >> 33;
    half = half.wrapping_mul(0xff51_afd7_ed55_8ccd);
    half ^= half >> 33;
    half = half.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    half ^ half >> 33
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RecordPosition, ShardId};
    use std::collections::HashSet;

    fn origin(sequence: u32, sub_sequence: u64) -> EventOrigin {
        EventOrigin {
            shard: ShardId::new("shardId-000000000003"),
            position: RecordPosition { sequence: sequence.to_string().parse().unwrap(), sub_sequence },
            partition_key: String::new(),
            arrival: None,
            is_damaged_aggregate: false,
            part: 0,
        }
    }

    #[test]
    fn deliveries_of_an_event_share_the_trace_but_not_the_span() {
        let [one, two] = [1, 2].map(|span| TraceParent::new("orders", &origin(7, 0), span).to_string());
        let fields = |text: &str| text.split('-').map(str::to_owned).collect::<Vec<_>>();
        let (one, two) = (fields(&one), fields(&two));
        assert_eq!(
            (one[0].as_str(), one[1].len(), one[2].as_str(), one[3].as_str()),
            ("00", 32, "0000000000000001", "01")
        );
        assert_eq!((&one[1], two[2].as_str()), (&two[1], "0000000000000002"));
        assert_eq!(TraceParent::new("orders", &origin(7, 0), 0).span, 1, "zero is invalid");
    }

    #[test]
    fn similar_events_have_traces_that_are_spread_evenly() {
        let all = (0..1_000).flat_map(|sequence| (0..4).map(move |sub| origin(sequence, sub)));
        let traces: HashSet<u128> = all.map(|origin| TraceParent::new("orders", &origin, 1).trace).collect();
        assert_eq!(traces.len(), 4_000);
        for bit in [0, 31, 55, 63, 64, 100, 127] {
            let ones = traces.iter().filter(|trace| **trace >> bit & 1 == 1).count();
            assert!((1_700..2_300).contains(&ones), "bit {bit}: {ones}");
        }
    }
}
