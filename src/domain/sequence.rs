//! Sequence numbers: decimal texts of up to about 186 bits, more than a `u128` holds.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The sequence number of a record, ordered as a number: by length, then by digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// Decimal digits without leading zeros.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is not a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sequence number: decimal digits were expected")]
pub struct InvalidSequenceNumber(String);

impl FromStr for SequenceNumber {
    type Err = InvalidSequenceNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidSequenceNumber(text.to_owned()));
        }
        let digits = text.trim_start_matches('0');
        Ok(Self(if digits.is_empty() { "0" } else { digits }.into()))
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The position of a user record in its shard: the Kinesis record, and the index in it where it is an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordPosition {
    pub sequence: SequenceNumber,
    /// The index in the aggregate; 0 for a plain record.
    pub sub_sequence: u64,
}

impl RecordPosition {
    #[must_use]
    pub const fn plain(sequence: SequenceNumber) -> Self {
        Self { sequence, sub_sequence: 0 }
    }
}

impl fmt::Display for RecordPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sequence, self.sub_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_of_56_places_order_as_numbers() {
        let small: SequenceNumber = "49590338271490256608559692538361571095921575989136588898".parse().unwrap();
        let large: SequenceNumber = "49590338271490256608559692538361571095921575989136588899".parse().unwrap();
        let nine: SequenceNumber = "9".parse().unwrap();
        assert!(small < large && nine < small);
    }

    #[test]
    fn only_digits_are_a_sequence_number() {
        for bad in ["", "-1", "1a", "LATEST", " 1"] {
            assert!(bad.parse::<SequenceNumber>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(a: u128, b: u128) {
            let (left, right) = (a.to_string().parse::<SequenceNumber>().unwrap(), format!("000{b}").parse().unwrap());
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }
    }
}
