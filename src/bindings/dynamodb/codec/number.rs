//! Numbers as DynamoDB holds them, from the digits of a JSON number; never converted to a float.

use serde_json::value::RawValue;

/// Significant digits of a number (AWS, "Supported data types").
const MAX_DIGITS: usize = 38;
/// Power of ten of the first digit of the largest number, 9.99…E+125.
const MAX_POWER: i64 = 125;
/// Power of ten of the smallest number above zero, 1E-130.
const MIN_POWER: i64 = -130;
/// A text with no exponent and up to this length goes out unchanged.
const MAX_PLAIN_LENGTH: usize = 40;

/// Why a number cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberProblem {
    #[error("the number has {0} significant digits, DynamoDB holds 38; send it as a string")]
    ExcessDigits(usize),
    /// Its magnitude is 1E+126 or more.
    #[error("the number is beyond DynamoDB's largest, 9.99E+125; send it as a string")]
    TooLarge,
    /// Its magnitude is below 1E-130 and it is not zero.
    #[error("the number is closer to zero than DynamoDB's smallest, 1E-130; send it as a string")]
    TooSmall,
}

/// The parts of a text that follows JSON's grammar of a number.
struct Parts {
    /// `-` or nothing.
    sign: &'static str,
    has_exponent: bool,
    all_digits: String,
    /// Power of ten of the first digit that is not zero.
    power: i64,
}

impl Parts {
    fn parse(text: &str) -> Self {
        let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = [whole, fraction].concat();
        let leading_zeros = length(&all_digits) - length(all_digits.trim_start_matches('0'));
        let power = exponent_value(exponent) + length(whole) - 1 - leading_zeros;
        Self { sign, has_exponent: mantissa.len() < unsigned.len(), all_digits, power }
    }

    /// The digits without outer zeros; none for zero.
    fn digits(&self) -> &str {
        self.all_digits.trim_matches('0')
    }
}

/// The text to store for a JSON number: the same digits, so the same value.
///
/// `text` must follow JSON's grammar of a number. A short text without exponent stays as it is; others become
/// `d.dddE+x`, which DynamoDB accepts. Minus zero becomes `0`.
pub(super) fn number_text(text: &str) -> Result<String, NumberProblem> {
    let parts = Parts::parse(text);
    let (digits, power) = (parts.digits(), parts.power);
    if digits.is_empty() {
        return Ok("0".to_owned());
    }
    if power > MAX_POWER {
        return Err(NumberProblem::TooLarge);
    }
    if power < MIN_POWER {
        return Err(NumberProblem::TooSmall);
    }
    if digits.len() > MAX_DIGITS {
        return Err(NumberProblem::ExcessDigits(digits.len()));
    }
    if !parts.has_exponent && text.len() <= MAX_PLAIN_LENGTH {
        return Ok(text.to_owned());
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    Ok(format!("{}{first}{point}{rest}E{power:+}", parts.sign))
}

/// A text that is the same for the same value: sign, digits without outer zeros, power of ten of the first digit. For a
/// text that [`number_text`] returned.
pub(super) fn canonical(text: &str) -> String {
    let parts = Parts::parse(text);
    match parts.digits() {
        "" => "0".to_owned(),
        digits => format!("{}{digits}E{}", parts.sign, parts.power),
    }
}

/// Whether a text follows JSON's grammar of a number, with no space around it.
pub(super) fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// How many bytes a number text takes in an item: one, half a byte for each significant digit, and one more for a
/// negative number. AWS calls this rule approximate; at the limit DynamoDB decides.
pub(super) fn stored_size(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_matches('0').len();
    significant.div_ceil(2) + 1 + usize::from(text.starts_with('-'))
}

/// A length as a signed number; texts are far shorter than `i64::MAX`.
fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX / 4)
}

/// The exponent, limited to a bound far beyond what DynamoDB holds, so that adding to it cannot overflow.
fn exponent_value(text: &str) -> i64 {
    const BOUND: i64 = i64::MAX / 4;
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = digits.bytes().fold(0_i64, |sum, byte| {
        sum.saturating_mul(10).saturating_add(i64::from(byte.saturating_sub(b'0'))).min(BOUND)
    });
    if is_negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_digits_stay_as_they_are() {
        for text in ["0", "7", "-7", "1.50", "9007199254740993", "0.1", "12345678901234567890123456789012345678"] {
            assert_eq!(number_text(text).unwrap(), text);
        }
    }

    #[test]
    fn every_zero_is_zero() {
        for text in ["-0", "0.000", "-0.0e999999999999999999999999", "0E-9"] {
            assert_eq!(number_text(text).unwrap(), "0");
        }
    }

    #[test]
    fn exponents_keep_digits_and_value() {
        for (text, stored) in [
            ("1e5", "1E+5"),
            ("-1.50E-7", "-1.5E-7"),
            ("0.00012e2", "1.2E-2"),
            ("100e123", "1E+125"),
            ("9.9999999999999999999999999999999999999E+125", "9.9999999999999999999999999999999999999E+125"),
            ("1e-130", "1E-130"),
        ] {
            assert_eq!(number_text(text).unwrap(), stored);
        }
    }

    #[test]
    fn the_limits_are_those_of_dynamodb() {
        assert_eq!(number_text("1e126"), Err(NumberProblem::TooLarge));
        assert_eq!(number_text("-10e125"), Err(NumberProblem::TooLarge));
        assert_eq!(number_text("0.1e-130"), Err(NumberProblem::TooSmall));
        assert_eq!(number_text("1e99999999999999999999999999999"), Err(NumberProblem::TooLarge));
        assert_eq!(number_text("1e-99999999999999999999999999999"), Err(NumberProblem::TooSmall));
        assert_eq!(number_text("123456789012345678901234567890123456789"), Err(NumberProblem::ExcessDigits(39)));
    }

    #[test]
    fn one_value_has_one_canonical_text() {
        for same in [["1e5", "1E+5", "100000"], ["-0.120", "-1.2E-1", "-0.12"], ["0", "0.00", "-0e7"]] {
            let all = same.map(canonical);
            assert!(all[0] == all[1] && all[1] == all[2], "{all:?}");
        }
        assert!(canonical("1") != canonical("10") && canonical("1") != canonical("-1"));
    }

    /// The value as digits and power of the last digit, without outer zeros; written apart from the code under test.
    fn value_of(text: &str) -> (bool, String, i64) {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let places = i64::try_from(mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len())).unwrap();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let kept = digits.trim_end_matches('0');
        let dropped = i64::try_from(digits.len() - kept.len()).unwrap();
        let power = exponent.parse::<i64>().unwrap() - places + dropped;
        (text.starts_with('-'), kept.trim_start_matches('0').to_owned(), power)
    }

    proptest! {
        #[test]
        fn the_value_never_changes(text in "-?[1-9][0-9]{0,18}(\\.[0-9]{0,17}[1-9])?([eE][+-]?[0-9]{1,2})?") {
            prop_assert_eq!(value_of(&number_text(&text).unwrap()), value_of(&text));
        }
    }
}
