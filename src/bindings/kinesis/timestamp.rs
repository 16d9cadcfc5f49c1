//! Parses `initialTimestamp`, and times on the command line.

use crate::domain::Timestamp;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// Plain numbers below it are seconds, the others milliseconds: as seconds it would be in the year 5138.
const FIRST_MILLIS: i64 = 100_000_000_000;

/// Reads RFC 3339 (`2026-01-31T08:00:00Z`, `2026-01-31 09:00:00.5+01:00`; finer than milliseconds is dropped), or a number
/// of seconds or milliseconds since 1970. `None` for anything else.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        let millis = if number < FIRST_MILLIS { number * 1_000 } else { number };
        return Some(Timestamp::from_millis(millis));
    }
    // RFC 3339 allows a space for readability, the parser only `T`.
    let moment = DateTime::from_str(&text.replacen(' ', "T", 1), Format::DateTimeWithOffset).ok()?;
    moment.to_millis().ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(text: &str) -> Option<i64> {
        parse_timestamp(text).map(Timestamp::as_millis)
    }

    #[test]
    fn every_supported_form_is_read() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(millis("2000-02-29T23:59:59.1239z"), Some(951_868_799_123));
        assert_eq!(millis("1985-04-12T23:20:50.52Z"), Some(482_196_050_520));
        assert_eq!(millis("1996-12-19T16:39:57-08:00"), Some(851_042_397_000));
        assert_eq!(millis("2026-01-31 09:00:00+01:00"), Some(1_769_846_400_000));
        assert_eq!(millis("1769846400"), Some(1_769_846_400_000));
        assert_eq!(millis("1769846400000"), Some(1_769_846_400_000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "now",
            "-5",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "2026-1-01T000:00:00Z",
            "99999999999999999999999",
            "2026-01-01T00:00:00Zx",
            "20é6-01-01T00:00:00Z",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|[-0-9T:.Z+]{0,30}") {
            prop_assert!(parse_timestamp(&text).is_none_or(|moment| moment.as_millis() > i64::MIN));
        }
    }
}
