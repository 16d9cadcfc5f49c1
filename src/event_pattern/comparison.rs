//! One element of a leaf: a value, or an operator.

use super::scalar::Scalar;
use super::wildcard::Wildcard;
use std::net::IpAddr;
use std::ops::Bound;

/// The EventBridge name of the operator is in the comment.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparison {
    /// A value. A number is equal only if it is written in the same way: 300 is not 300.0.
    Equals(Scalar<'static>),
    /// `exists`
    Exists(bool),
    /// `equals-ignore-case`, `prefix`, `suffix`, `wildcard`
    Text(TextComparison),
    /// `numeric`
    Numeric(Bound<f64>, Bound<f64>),
    /// `cidr`
    Cidr(Network),
    /// `anything-but`
    AnythingBut(Excluded),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextComparison {
    EqualsIgnoreCase(String),
    Prefix(String),
    PrefixIgnoreCase(String),
    Suffix(String),
    SuffixIgnoreCase(String),
    Wildcard(Wildcard),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Excluded {
    Strings(Vec<String>),
    Numbers(Vec<f64>),
    Texts(Vec<TextComparison>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix_length: u8,
}

impl Comparison {
    /// Whether a value that exists satisfies it.
    pub(super) fn matches(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::Equals(expected) => expected == value,
            Self::Exists(is_expected) => *is_expected,
            Self::Text(comparison) => value.as_string().is_some_and(|text| comparison.matches(text)),
            Self::Numeric(low, high) => value.as_number().is_some_and(|number| is_between(number, *low, *high)),
            Self::Cidr(network) => {
                value.as_string().and_then(|text| text.parse().ok()).is_some_and(|address| network.contains(address))
            }
            Self::AnythingBut(excluded) => !excluded.has(value),
        }
    }
}

fn is_between(number: f64, low: Bound<f64>, high: Bound<f64>) -> bool {
    use std::ops::RangeBounds;
    (low, high).contains(&number)
}

impl TextComparison {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::EqualsIgnoreCase(expected) => lower(text).eq(lower(expected)),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::PrefixIgnoreCase(prefix) => starts_with(lower(text), lower(prefix)),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::SuffixIgnoreCase(suffix) => starts_with(reversed(text), reversed(suffix)),
            Self::Wildcard(wildcard) => wildcard.matches(text),
        }
    }
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn reversed(text: &str) -> impl Iterator<Item = char> {
    text.chars().rev().flat_map(|character| character.to_lowercase().rev())
}

fn starts_with(mut text: impl Iterator<Item = char>, mut prefix: impl Iterator<Item = char>) -> bool {
    prefix.all(|expected| text.next() == Some(expected))
}

impl Excluded {
    fn has(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::Strings(strings) => {
                value.as_string().is_some_and(|text| strings.iter().any(|excluded| excluded == text))
            }
            Self::Numbers(numbers) => value.as_number().is_some_and(|number| numbers.contains(&number)),
            Self::Texts(comparisons) => {
                value.as_string().is_some_and(|text| comparisons.iter().any(|c| c.matches(text)))
            }
        }
    }
}

impl Network {
    /// Such as `10.0.0.0/24` or `2001:db8::/32`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (address, prefix_length) = (address.parse().ok()?, length.parse().ok()?);
        let bits = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        (prefix_length <= bits).then_some(Self { address, prefix_length })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let length = u32::from(self.prefix_length);
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or_default();
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or_default();
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}
