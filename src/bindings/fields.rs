//! The rule that AWS has for names of streams, stream consumers and tables: ASCII letters, digits, `_`, `.` and `-`.

use crate::manifest::Reader;
use std::ops::RangeInclusive;

/// At most so many wrong characters are named.
const MAX_SHOWN: usize = 5;

/// What makes a text no such name; `None` when it is one. The characters are named only if they may be shown.
pub(super) fn name_problem(text: &str, lengths: &RangeInclusive<usize>, is_shown: bool) -> Option<String> {
    let mut wrong: Vec<char> = Vec::new();
    for letter in text.chars().filter(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        if !wrong.contains(&letter) && wrong.len() < MAX_SHOWN {
            wrong.push(letter);
        }
    }
    let length = text.chars().count();
    let mut problems = Vec::new();
    if !lengths.contains(&length) {
        problems.push(format!("it has {length} character{}", if length == 1 { "" } else { "s" }));
    }
    if !wrong.is_empty() {
        let shown: Vec<String> = wrong.iter().map(|letter| format!("`{}`", letter.escape_debug())).collect();
        let shown = if is_shown { shown.join(", ") } else { "characters that are not allowed".to_owned() };
        problems.push(format!("it holds {shown}"));
    }
    (!problems.is_empty()).then(|| problems.join(" and "))
}

/// Reads a name. `what` is what it names, as in "a table name".
pub(super) fn read_name(
    reader: &mut Reader<'_>,
    field: &'static str,
    what: &str,
    lengths: &RangeInclusive<usize>,
) -> Option<String> {
    let is_shown = reader.is_written(field);
    reader.parsed(field, |text| match name_problem(text, lengths, is_shown) {
        None => Ok(text.to_owned()),
        Some(problem) => Err((not_allowed(what, lengths, &problem), "correct the name".to_owned())),
    })
}

/// The allowed form, and what is wrong with the name that was given.
pub(super) fn not_allowed(what: &str, lengths: &RangeInclusive<usize>, problem: &str) -> String {
    let (least, most) = (lengths.start(), lengths.end());
    format!("{what} has {least} to {most} letters, digits, `_`, `.` or `-`, but {problem}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_characters_are_judged() {
        for name in ["abc", "a-b_c.D9", &"x".repeat(255)] {
            assert_eq!(name_problem(name, &(3..=255), true), None, "{name}");
        }
        for (text, problem) in [
            ("", "it has 0 characters"),
            ("a", "it has 1 character"),
            ("ab", "it has 2 characters"),
            (&"x".repeat(256), "it has 256 characters"),
            ("a b c", "it holds ` `"),
            ("häuser/x\n", "it holds `ä`, `/`, `\\n`"),
            ("ä", "it has 1 character and it holds `ä`"),
            ("!@#$%^&*()", "it holds `!`, `@`, `#`, `$`, `%`"),
        ] {
            assert_eq!(name_problem(text, &(3..=255), true).as_deref(), Some(problem), "{text}");
        }
        let hidden = name_problem("s3cret!", &(3..=255), false).unwrap();
        assert_eq!(hidden, "it holds characters that are not allowed");
    }
}
