//! The `trip` expression of a circuit breaker: the part of CEL that counts and comparisons need.
//!
//! Integers, decimal numbers, booleans, the five counts, `+ - * / %`, comparisons, `&& || !`, `a ? b : c`, `int()` and
//! `double()`. Evaluation is total: it ends, and what CEL calls an error (a division by zero, an overflow, an unknown
//! name, mixed types) does not open the breaker, as in Dapr. A whole CEL would cost megabytes in the binary.

use super::counts::Counts;
use super::expression_parser::parse;
use super::expression_tree::{Conversion, InvalidExpression, Node, Operator, Value, Variable};
use std::cmp::Ordering;

/// Bytes; a longer expression is refused.
const MAX_LENGTH: usize = 1_000;

/// Whether a failure opens the breaker.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    root: Node,
}

impl Default for Trip {
    /// `consecutiveFailures > 5`
    fn default() -> Self {
        let limit = Box::new(Node::Value(Value::Int(5)));
        Self { root: Node::Binary(Operator::Greater, Box::new(Node::Count(Variable::ConsecutiveFailures)), limit) }
    }
}

impl Trip {
    /// # Errors
    /// For what is not such an expression, is longer than 1,000 bytes, or nests deeper than 50.
    pub fn parse(text: &str) -> Result<Self, InvalidExpression> {
        if text.len() > MAX_LENGTH {
            let problem = format!("it is longer than {MAX_LENGTH} bytes");
            return Err(InvalidExpression { position: MAX_LENGTH, problem });
        }
        parse(text).map(|root| Self { root })
    }

    /// Whether the counts open the breaker. What cannot be evaluated does not.
    #[must_use]
    pub fn is_met(&self, counts: &Counts) -> bool {
        matches!(self.root.value(counts), Some(Value::Bool(true)))
    }

    /// The names that no count has. A breaker with one of them may never open.
    #[must_use]
    pub fn unknown_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.collect_unknown(&mut names);
        names
    }
}

impl Node {
    /// `None` for what CEL calls an error.
    fn value(&self, counts: &Counts) -> Option<Value> {
        Some(match self {
            Self::Value(value) => *value,
            Self::Count(variable) => Value::Int(i64::from(variable.of(counts))),
            Self::Unknown(_) => return None,
            Self::Not(inner) => Value::Bool(!inner.bool(counts)?),
            Self::Negative(inner) => match inner.value(counts)? {
                Value::Int(number) => Value::Int(number.checked_neg()?),
                Value::Double(number) => Value::Double(-number),
                Value::Bool(_) => return None,
            },
            Self::Convert(conversion, inner) => convert(*conversion, inner.value(counts)?)?,
            Self::Binary(Operator::And, left, right) => both(left, right, counts, false)?,
            Self::Binary(Operator::Or, left, right) => both(left, right, counts, true)?,
            Self::Binary(operator, left, right) => apply(*operator, left.value(counts)?, right.value(counts)?)?,
            Self::If(condition, yes, no) => return if condition.bool(counts)? { yes } else { no }.value(counts),
        })
    }

    fn bool(&self, counts: &Counts) -> Option<bool> {
        match self.value(counts)? {
            Value::Bool(value) => Some(value),
            Value::Int(_) | Value::Double(_) => None,
        }
    }

    fn collect_unknown<'n>(&'n self, names: &mut Vec<&'n str>) {
        match self {
            Self::Value(_) | Self::Count(_) => {}
            Self::Unknown(name) => names.push(name),
            Self::Not(inner) | Self::Negative(inner) | Self::Convert(_, inner) => inner.collect_unknown(names),
            Self::Binary(_, left, right) => [left, right].into_iter().for_each(|node| node.collect_unknown(names)),
            Self::If(condition, yes, no) => {
                [condition, yes, no].into_iter().for_each(|node| node.collect_unknown(names));
            }
        }
    }
}

/// `&&` and `||`: one side that decides is enough, whatever the other side is, as in CEL.
fn both(left: &Node, right: &Node, counts: &Counts, decisive: bool) -> Option<Value> {
    match (left.bool(counts), right.bool(counts)) {
        (Some(value), _) | (_, Some(value)) if value == decisive => Some(Value::Bool(decisive)),
        (Some(_), Some(_)) => Some(Value::Bool(!decisive)),
        (None, _) | (_, None) => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "CEL's `double()` rounds too")]
fn convert(conversion: Conversion, value: Value) -> Option<Value> {
    match (conversion, value) {
        (_, Value::Bool(_)) => None,
        (Conversion::Int, Value::Int(_)) | (Conversion::Double, Value::Double(_)) => Some(value),
        (Conversion::Double, Value::Int(number)) => Some(Value::Double(number as f64)),
        (Conversion::Int, Value::Double(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
            let whole = (number.abs() < 9e18).then_some(number as i64);
            whole.map(Value::Int)
        }
    }
}

fn apply(operator: Operator, left: Value, right: Value) -> Option<Value> {
    use Operator::{Add, Divide, Multiply, Remainder, Subtract};
    match (operator, left, right) {
        (Add, Value::Int(left), Value::Int(right)) => left.checked_add(right).map(Value::Int),
        (Subtract, Value::Int(left), Value::Int(right)) => left.checked_sub(right).map(Value::Int),
        (Multiply, Value::Int(left), Value::Int(right)) => left.checked_mul(right).map(Value::Int),
        (Divide, Value::Int(left), Value::Int(right)) => left.checked_div(right).map(Value::Int),
        (Remainder, Value::Int(left), Value::Int(right)) => left.checked_rem(right).map(Value::Int),
        (Add, Value::Double(left), Value::Double(right)) => Some(Value::Double(left + right)),
        (Subtract, Value::Double(left), Value::Double(right)) => Some(Value::Double(left - right)),
        (Multiply, Value::Double(left), Value::Double(right)) => Some(Value::Double(left * right)),
        (Divide, Value::Double(left), Value::Double(right)) => Some(Value::Double(left / right)),
        (Add | Subtract | Multiply | Divide | Remainder, _, _) => None,
        (comparison, left, right) => compare(comparison, left, right).map(Value::Bool),
    }
}

fn compare(operator: Operator, left: Value, right: Value) -> Option<bool> {
    let order = match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(&right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(&right)),
        (Value::Bool(_), _) | (_, Value::Bool(_)) => return None,
        (left, right) => {
            let (Value::Double(left), Value::Double(right)) =
                (convert(Conversion::Double, left)?, convert(Conversion::Double, right)?)
            else {
                return None;
            };
            left.partial_cmp(&right)
        }
    };
    // Without an order, one of both is not a number.
    Some(match operator {
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::NotEqual => order != Some(Ordering::Equal),
        Operator::Less => order == Some(Ordering::Less),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Or
        | Operator::And
        | Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Remainder => return None,
    })
}

#[cfg(test)]
#[path = "tests/expression.rs"]
mod tests;
