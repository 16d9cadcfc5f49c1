//! The moment of `initialTimestamp`.
//!
//! RFC 3339 has one fixed form, and no crate of ours reads dates; sixty lines are less to keep than a calendar crate.

use crate::domain::Timestamp;

/// Bare numbers from here on are milliseconds: as seconds they would lie beyond the year 5138.
const FIRST_MILLIS: i64 = 100_000_000_000;

/// Reads RFC 3339 (`2026-01-31T08:00:00Z`, `…+01:00`, fractions of a second are cut to milliseconds), or seconds or
/// milliseconds since the epoch. `None` for anything else.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        let millis = if number < FIRST_MILLIS { number * 1_000 } else { number };
        return Some(Timestamp::from_millis(millis));
    }
    rfc3339(text).map(Timestamp::from_millis)
}

fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = (rest.get(..8)?, rest.get(8..)?);
    let (year, month, day) = triple(date, '-')?;
    let (hour, minute, second) = triple(clock, ':')?;
    // A leap second counts as the last one before it; POSIX time has no room for it.
    let in_range = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    let (millis, zone) = fraction(rest)?;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second.min(59);
    Some((seconds - offset(zone)?) * 1_000 + millis)
}

/// `dddd-dd-dd` or `dd:dd:dd`: the first takes what the other two leave.
fn triple(text: &str, divider: char) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(divider);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = parts.next().is_none() && second.len() == 2 && third.len() == 2;
    if !is_whole { None } else { Some((digits(first)?, digits(second)?, digits(third)?)) }
}

fn digits(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(rest) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (fraction, zone) = rest.split_at(end);
    if fraction.is_empty() {
        return None;
    }
    let first_three: String = fraction.chars().chain("00".chars()).take(3).collect();
    Some((digits(&first_three)?, zone))
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let is_whole = hours.len() == 2 && minutes.len() == 2;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (is_whole && hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Whole years first, then whole months; leap days by the Gregorian rule.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let leap_days_before =
        |year: i64| (year - 1).div_euclid(4) - (year - 1).div_euclid(100) + (year - 1).div_euclid(400);
    let years = (year - 1970) * 365 + leap_days_before(year) - leap_days_before(1970);
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(text: &str) -> Option<i64> {
        parse_timestamp(text).map(Timestamp::as_millis)
    }

    #[test]
    fn moments_are_read() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(millis("2000-02-29T23:59:59.1239z"), Some(951_868_799_123));
        assert_eq!(millis("1985-04-12T23:20:50.52Z"), Some(482_196_050_520));
        assert_eq!(millis("1996-12-19T16:39:57-08:00"), Some(851_042_397_000));
        assert_eq!(millis("2026-01-31 09:00:00+01:00"), Some(1_769_846_400_000));
        assert_eq!(millis("1769846400"), Some(1_769_846_400_000));
        assert_eq!(millis("1769846400000"), Some(1_769_846_400_000));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
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
        fn consecutive_days_are_a_day_apart(year in 1_i64..9999, month in 1_i64..=12, day in 1_i64..=27) {
            prop_assert_eq!(days_since_epoch(year, month, day) + 1, days_since_epoch(year, month, day + 1));
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            prop_assert_eq!(days_since_epoch(year, month, days_in(year, month)) + 1, days_since_epoch(next.0, next.1, 1));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[-0-9T:.Z+]{0,30}") {
            prop_assert!(parse_timestamp(&text).is_none_or(|moment| moment.as_millis() > i64::MIN));
        }
    }
}
