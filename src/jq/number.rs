//! Numbers: exact as they were read until a program calculates with them.

use std::cmp::Ordering;
use std::rc::Rc;

use super::budget;

#[derive(Clone, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    /// What neither holds exactly as it was written, such as `1.0`, `1e400` and integers of many digits.
    Text(Rc<str>),
}

/// Floats with a whole value below this are written without an exponent, as `jq` does.
const MAX_PLAIN: f64 = 1e17;

impl Number {
    /// A number from its text, which must be one of JSON.
    pub(super) fn read(text: &str) -> Self {
        let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && text != "-0";
        let int = if is_whole { text.parse().ok() } else { None };
        int.map_or_else(|| Self::Text(text.into()), Self::Int)
    }

    pub(super) fn as_f64(&self) -> f64 {
        match self {
            Self::Int(int) => *int as f64,
            Self::Float(float) => *float,
            Self::Text(text) => {
                budget::charge_bytes(text.len());
                text.parse().unwrap_or(f64::NAN)
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
            Self::Int(int) => out.extend_from_slice(int.to_string().as_bytes()),
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
                Self::Text(text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned).into())
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

impl Ord for Number {
    /// NaN is less than every number, also than itself, as in `jq`; but equal to itself here, because sorting needs that.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) if left == right => Ordering::Equal,
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
