//! The parts of a `trip` expression.

use super::counts::Counts;

/// A text that is not such an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid trip expression at character {position}: {problem}")]
pub struct InvalidExpression {
    /// Counted from 1.
    pub position: usize,
    pub problem: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Value(Value),
    Count(Variable),
    /// A name that no count has; evaluating it is an error.
    Unknown(String),
    Not(Box<Self>),
    Negative(Box<Self>),
    Convert(Conversion, Box<Self>),
    Binary(Operator, Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Double(f64),
    Bool(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Requests,
    TotalSuccesses,
    TotalFailures,
    ConsecutiveSuccesses,
    ConsecutiveFailures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    Int,
    Double,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Variable {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "requests" => Self::Requests,
            "totalSuccesses" => Self::TotalSuccesses,
            "totalFailures" => Self::TotalFailures,
            "consecutiveSuccesses" => Self::ConsecutiveSuccesses,
            "consecutiveFailures" => Self::ConsecutiveFailures,
            _ => return None,
        })
    }

    pub(super) const fn of(self, counts: &Counts) -> u32 {
        match self {
            Self::Requests => counts.requests,
            Self::TotalSuccesses => counts.total_successes,
            Self::TotalFailures => counts.total_failures,
            Self::ConsecutiveSuccesses => counts.consecutive_successes,
            Self::ConsecutiveFailures => counts.consecutive_failures,
        }
    }
}
