//! Numbers: exact as they were read until a program calculates with them.

use std::cmp::Ordering;
use std::rc::Rc;

use super::budget;

#[derive(Clone, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    /// What neither holds exactly as it was written, such as `1.0`, `1e400` and integers of many digits.
    Text(NumberText),
}

/// The text of a number: in place where it is short, as most decimal numbers are.
#[derive(Clone, Debug)]
pub(super) enum NumberText {
    Short([u8; MAX_SHORT], u8),
    Long(Rc<str>),
}

/// Bytes for which a value has place anyway.
const MAX_SHORT: usize = 22;

/// Floats with a whole value below this are written without an exponent, as `jq` does.
const MAX_PLAIN: f64 = 1e17;

impl NumberText {
    fn new(text: &str) -> Self {
        let mut bytes = [0; MAX_SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short(bytes, length)
            }
            _ => Self::Long(text.into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes, length) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(text) => text.as_bytes(),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Short(..) => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }

    fn len(&self) -> usize {
        self.as_bytes().len()
    }
}

impl Number {
    /// A number from its text, which must be one of JSON.
    pub(super) fn read(text: &str) -> Self {
        let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && text != "-0";
        let int = if is_whole { text.parse().ok() } else { None };
        int.map_or_else(|| Self::Text(NumberText::new(text)), Self::Int)
    }

    pub(super) fn as_f64(&self) -> f64 {
        match self {
            Self::Int(int) => *int as f64,
            Self::Float(float) => *float,
            Self::Text(text) => {
                budget::charge_bytes(text.len());
                text.as_str().parse().unwrap_or(f64::NAN)
            }
        }
    }

    /// The number rounded down, as an index; limited to what fits. NaN is no place of any array.
    pub(super) fn as_index(&self) -> i64 {
        match self {
            Self::Int(int) => *int,
            Self::Float(_) | Self::Text(_) => match self.as_f64() {
                float if float.is_nan() => i64::MIN,
                float => float.floor() as i64,
            },
        }
    }

    /// The whole number that this is.
    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Float(_) | Self::Text(_) => {
                let float = self.as_f64();
                (float.fract() == 0.0 && float.abs() < 2f64.powi(53)).then_some(float as i64)
            }
        }
    }

    /// Bytes of its text, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Int(int) => int.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1 + usize::from(*int < 0),
            Self::Float(_) => 17,
            Self::Text(text) => text.len(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(int) => write_int(*int, out),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Float(float) if float.is_nan() => out.extend_from_slice(b"null"),
            Self::Float(float) if float.fract() == 0.0 && float.abs() < MAX_PLAIN => {
                out.extend_from_slice(format!("{float:.0}").as_bytes());
            }
            Self::Float(float) => {
                let finite = float.clamp(f64::MIN, f64::MAX);
                out.extend_from_slice(
                    serde_json::Number::from_f64(finite).map_or("null".to_owned(), |n| n.to_string()).as_bytes(),
                );
            }
        }
    }

    pub(super) fn add(&self, other: &Self) -> Self {
        self.calculate(other, i64::checked_add, |left, right| left + right)
    }

    pub(super) fn subtract(&self, other: &Self) -> Self {
        self.calculate(other, i64::checked_sub, |left, right| left - right)
    }

    pub(super) fn multiply(&self, other: &Self) -> Self {
        self.calculate(other, i64::checked_mul, |left, right| left * right)
    }

    /// None if the divisor is zero.
    pub(super) fn divide(&self, other: &Self) -> Option<Self> {
        let exact = |left: i64, right: i64| (left.checked_rem(right) == Some(0)).then(|| left / right);
        (other.as_f64() != 0.0).then(|| self.calculate(other, exact, |left, right| left / right))
    }

    /// The remainder of the whole parts, with the sign of the dividend; none if the divisor is zero.
    pub(super) fn remainder(&self, other: &Self) -> Option<Self> {
        let whole = |number: &Self| match number {
            Self::Int(int) => *int,
            Self::Float(_) | Self::Text(_) => number.as_f64() as i64,
        };
        if self.as_f64().is_nan() || other.as_f64().is_nan() {
            return Some(Self::Float(f64::NAN));
        }
        let divisor = whole(other);
        (divisor != 0).then(|| Self::Int(whole(self).wrapping_rem(divisor)))
    }

    pub(super) fn negate(&self) -> Self {
        match self {
            Self::Int(int) => int.checked_neg().map_or_else(|| Self::Float(-(*int as f64)), Self::Int),
            Self::Float(float) => Self::Float(-float),
            Self::Text(text) => {
                let text = text.as_str();
                Self::Text(text.strip_prefix('-').map_or_else(|| NumberText::new(&format!("-{text}")), NumberText::new))
            }
        }
    }

    fn calculate(&self, other: &Self, exact: fn(i64, i64) -> Option<i64>, float: fn(f64, f64) -> f64) -> Self {
        let exact = match (self, other) {
            (Self::Int(left), Self::Int(right)) => exact(*left, *right),
            _ => None,
        };
        exact.map_or_else(|| Self::Float(float(self.as_f64(), other.as_f64())), Self::Int)
    }
}

/// The digits of the largest integer.
const MAX_DIGITS: usize = 19;

fn write_int(int: i64, out: &mut Vec<u8>) {
    if int < 0 {
        out.push(b'-');
    }
    let (mut digits, mut rest) = ([b'0'; MAX_DIGITS], int.unsigned_abs());
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        (rest, count) = (rest / 10, count + 1);
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[MAX_DIGITS - count..]);
}

impl Ord for Number {
    /// NaN is less than every number, also than itself, as in `jq`; but equal to itself here, because sorting needs that.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) if left.as_bytes() == right.as_bytes() => Ordering::Equal,
            _ => {
                let (left, right) = (self.as_f64(), other.as_f64());
                left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
            }
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        Number::read(text).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_short_number_takes_no_memory_of_its_own() {
        assert_eq!(size_of::<Number>(), size_of::<NumberText>());
        assert!(matches!(Number::read("1234567890.12345678901"), Number::Text(NumberText::Short(..))));
        assert!(matches!(Number::read("1234567890.123456789012"), Number::Text(NumberText::Long(_))));
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_they_were_read(int: i64, text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?") {
            for text in [int.to_string(), text, i64::MIN.to_string(), "0".to_owned(), "-0".to_owned()] {
                prop_assert_eq!(written(&text), text);
            }
        }
    }
}
