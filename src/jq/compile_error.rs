//! What is wrong with the text of a program, and where.

use std::fmt;

use jaq_core::load::{lex, parse};

/// A fault in the text of a program. It is shown as `line 1, column 7: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what to write instead where that helps.
    pub message: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl CompileError {
    /// An error at a byte of the text.
    pub(super) fn at(text: &str, byte: usize, message: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }

    /// An error at a part of the text.
    pub(super) fn at_part(text: &str, part: &str, message: impl Into<String>) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        // A part from elsewhere has no place in this text.
        Self::at(text, if start <= text.len() { start } else { 0 }, message)
    }

    pub(super) fn of_lexer(text: &str, (expected, rest): &lex::Error<&str>) -> Self {
        let message = match expected {
            lex::Expect::Delim(_) => format!("{} is missing", expected.as_str()),
            lex::Expect::Token => "this character has no meaning in jq".to_owned(),
            _ => format!("expected a {}", expected.as_str()),
        };
        Self::at_part(text, rest, message)
    }

    pub(super) fn of_parser(text: &str, (expected, found): &parse::TError<'_, &str>) -> Self {
        let Some(found) = found else {
            let expected = expected.as_str();
            return Self::at(text, text.len(), format!("the program ends too early; expected {expected}"));
        };
        let word = found.as_str();
        let shown = word.lines().next().unwrap_or(word);
        let message = match (expected, word) {
            (_, "?//") => "alternatives of a pattern with ?// are not supported".to_owned(),
            (parse::Expect::Nothing, _) => format!("unexpected `{shown}`"),
            _ => format!("unexpected `{shown}`; expected {}", expected.as_str()),
        };
        Self::at_part(text, word, message)
    }
}
