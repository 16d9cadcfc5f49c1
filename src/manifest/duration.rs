//! Durations as Go writes them, because Dapr's files do: `1.5s`, `2m30s`, `100ms`.

use std::time::Duration;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Not a sequence of numbers with units.
    #[error("not a duration such as `500ms`, `10s` or `1m30s`")]
    Form,
    /// A number without a unit, or with an unknown one.
    #[error("a number in a duration needs one of the units `ns`, `us`, `ms`, `s`, `m`, `h`")]
    Unit,
    /// Below zero.
    #[error("a duration must not be negative")]
    Negative,
    /// Beyond what Go holds: 2⁶³ − 1 nanoseconds, about 292 years.
    #[error("a duration must be below 292 years")]
    TooLong,
}

const MAX_NANOS: u128 = i64::MAX as u128;

/// Reads a duration in Go's form (`time.ParseDuration`): an optional sign, then decimal numbers each with a unit of
/// `ns`, `us`, `µs`, `ms`, `s`, `m`, `h`; `0` alone needs no unit. Fractions of a nanosecond are dropped.
///
/// # Errors
/// When the text has another form, is negative, or is longer than Go can hold.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(InvalidDuration::Form);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = leading_part(rest)?;
        nanos = nanos.saturating_add(part);
        if nanos > MAX_NANOS {
            return Err(InvalidDuration::TooLong);
        }
        rest = after;
    }
    if negative && nanos > 0 {
        return Err(InvalidDuration::Negative);
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| InvalidDuration::TooLong)
}

/// Reads a duration as Dapr's components do: in Go's form, or a bare number of whole seconds.
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_duration_or_seconds(text: &str) -> Result<Duration, InvalidDuration> {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_bare { parse_duration(&format!("{text}s")) } else { parse_duration(text) }
}

/// One number with its unit, in nanoseconds, and what follows it.
fn leading_part(text: &str) -> Result<(u128, &str), InvalidDuration> {
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(InvalidDuration::Form);
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(InvalidDuration::Unit),
    };
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| InvalidDuration::TooLong)? };
    let whole = whole.checked_mul(scale).ok_or(InvalidDuration::TooLong)?;
    Ok((whole.saturating_add(fraction_of(fraction, scale)), rest))
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// Digits after the point, times the unit. Digits beyond the 18th cannot reach a nanosecond of any unit we know.
fn fraction_of(fraction: &str, scale: u128) -> u128 {
    let (mut value, mut divisor) = (0_u128, 1_u128);
    for digit in fraction.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        divisor *= 10;
    }
    value * scale / divisor
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_examples_are_read() {
        let nanos = |text| parse_duration(text).unwrap().as_nanos();
        assert_eq!(nanos("0"), 0);
        assert_eq!(nanos("-0s"), 0);
        assert_eq!(nanos("1h15m30.918s"), 4_530_918_000_000);
        assert_eq!(nanos(".5s"), 500_000_000);
        assert_eq!(nanos("5.s"), 5_000_000_000);
        assert_eq!(nanos("1µs"), 1_000);
        assert_eq!(nanos("1μs"), 1_000);
        assert_eq!(nanos("0.3333333333333333333h"), 1_199_999_999_999);
        assert_eq!(nanos("+9223372036854775807ns"), 9_223_372_036_854_775_807);
    }

    #[test]
    fn bare_numbers_are_seconds_where_dapr_takes_them_for_such() {
        for (text, seconds) in [("0", 0), ("90", 90), ("1m30s", 90)] {
            assert_eq!(parse_duration_or_seconds(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "1.5", "-1", "5 "] {
            assert!(parse_duration_or_seconds(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, error) in [
            ("", InvalidDuration::Form),
            ("-", InvalidDuration::Form),
            (".", InvalidDuration::Form),
            (".s", InvalidDuration::Form),
            (" 1s", InvalidDuration::Form),
            ("3", InvalidDuration::Unit),
            ("1 s", InvalidDuration::Unit),
            ("1d", InvalidDuration::Unit),
            ("1S", InvalidDuration::Unit),
            ("-1s", InvalidDuration::Negative),
            ("9223372036854775808ns", InvalidDuration::TooLong),
            ("99999999999999999999999999999999999999999999h", InvalidDuration::TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn parts_add_up(h in 0_u64..1000, m in 0_u64..1000, s in 0_u64..1000, ms in 0_u64..1000, ns in 0_u64..1000) {
            let text = format!("{h}h{m}m{s}.{ms:03}s{ns}ns");
            let expected = Duration::from_secs(h * 3600 + m * 60 + s) + Duration::from_millis(ms) + Duration::from_nanos(ns);
            prop_assert_eq!(parse_duration(&text), Ok(expected));
        }

        #[test]
        fn no_text_panics_and_none_is_longer_than_go_allows(text in "\\PC*|[-+0-9.a-zµ]{0,40}") {
            if let Ok(duration) = parse_duration(&text) {
                prop_assert!(duration.as_nanos() <= MAX_NANOS);
            }
        }
    }
}
