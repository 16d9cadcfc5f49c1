//! Ranges of status codes: `429,500-503`.

use std::ops::RangeInclusive;

/// A text that is not a list of status codes and ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    #[error("invalid pattern {0}, more than one '-' exists")]
    TooManyDashes(String),
    #[error("invalid pattern {0}: `{1}` is not a number")]
    NotANumber(String, String),
    #[error("invalid pattern {pattern}, code {code} is not valid: write codes from {from} to {to}")]
    OutOfRange { pattern: String, code: i64, from: u16, to: u16 },
    #[error("invalid pattern {0}, start value should not bigger than end value")]
    Reversed(String),
}

/// The status codes that are retried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusRanges(Option<Vec<RangeInclusive<u16>>>);

impl StatusRanges {
    /// Reads codes and ranges `a-b` separated by commas. An empty text is every code; empty entries are skipped.
    ///
    /// # Errors
    /// For what is not a number, or not within `valid`.
    pub fn parse(text: &str, valid: &RangeInclusive<u16>) -> Result<Self, InvalidRange> {
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| range(entry, valid)).collect::<Result<_, _>>().map(|ranges| Self(Some(ranges)))
    }

    #[must_use]
    pub fn contains(&self, code: u16) -> bool {
        self.0.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(&code)))
    }
}

fn range(entry: &str, valid: &RangeInclusive<u16>) -> Result<RangeInclusive<u16>, InvalidRange> {
    let mut parts = entry.split('-');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Err(InvalidRange::TooManyDashes(entry.to_owned()));
    }
    let start = code(entry, first, valid)?;
    let end = second.map_or(Ok(start), |text| code(entry, text, valid))?;
    if end < start {
        return Err(InvalidRange::Reversed(entry.to_owned()));
    }
    Ok(start..=end)
}

fn code(entry: &str, text: &str, valid: &RangeInclusive<u16>) -> Result<u16, InvalidRange> {
    let text = text.trim();
    let not_a_number = |_| InvalidRange::NotANumber(entry.to_owned(), text.to_owned());
    let code: i64 = text.parse().map_err(not_a_number)?;
    u16::try_from(code).ok().filter(|code| valid.contains(code)).ok_or_else(|| InvalidRange::OutOfRange {
        pattern: entry.to_owned(),
        code,
        from: *valid.start(),
        to: *valid.end(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HTTP: RangeInclusive<u16> = 100..=599;

    #[test]
    fn codes_and_ranges_are_read() {
        let ranges = StatusRanges::parse("429, 500-503,,504", &HTTP).unwrap();
        assert!([429, 500, 502, 503, 504].iter().all(|code| ranges.contains(*code)));
        assert!([200, 428, 499, 505].iter().all(|code| !ranges.contains(*code)));
        assert!(StatusRanges::parse("", &HTTP).unwrap().contains(418), "nothing given is everything");
        assert!(!StatusRanges::parse(",", &HTTP).unwrap().contains(418), "as in Dapr, only commas are no code at all");
    }

    #[test]
    fn wrong_entries_are_named() {
        for (text, error) in [
            ("500-501-502", InvalidRange::TooManyDashes("500-501-502".into())),
            ("5xx", InvalidRange::NotANumber("5xx".into(), "5xx".into())),
            ("500-", InvalidRange::NotANumber("500-".into(), String::new())),
            ("99", InvalidRange::OutOfRange { pattern: "99".into(), code: 99, from: 100, to: 599 }),
            ("500-600", InvalidRange::OutOfRange { pattern: "500-600".into(), code: 600, from: 100, to: 599 }),
            ("503-500", InvalidRange::Reversed("503-500".into())),
        ] {
            assert_eq!(StatusRanges::parse(text, &HTTP), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_code_matches_exactly_within_its_range(start in 100_u16..=599, more in 0_u16..200, code in 100_u16..=599) {
            let end = (start + more).min(599);
            let ranges = StatusRanges::parse(&format!("{start}-{end}"), &HTTP).unwrap();
            prop_assert_eq!(ranges.contains(code), start <= code && code <= end);
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[-0-9, ]{0,30}") {
            drop(StatusRanges::parse(&text, &HTTP));
        }
    }
}
