//! Fields that several kinds share: names of AWS resources, endpoints, direction, route.

use crate::domain::Direction;
use crate::manifest::{Reader, nearest};
use std::ops::RangeInclusive;

/// How many wrong characters a message names.
const MAX_SHOWN: usize = 5;

/// What is wrong with the name of a stream, stream consumer or table; `None` for a valid one. AWS allows ASCII letters,
/// digits, `_`, `.` and `-`. Wrong characters are named only if the value may be shown.
pub(super) fn name_problem(text: &str, lengths: &RangeInclusive<usize>, is_shown: bool) -> Option<String> {
    let mut wrong: Vec<char> = Vec::new();
    for c in text.chars().filter(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        if !wrong.contains(&c) && wrong.len() < MAX_SHOWN {
            wrong.push(c);
        }
    }
    let length = text.chars().count();
    let mut problems = Vec::new();
    if !lengths.contains(&length) {
        problems.push(format!("it has {length} character{}", if length == 1 { "" } else { "s" }));
    }
    if !wrong.is_empty() {
        let shown: Vec<String> = wrong.iter().map(|c| format!("`{}`", c.escape_debug())).collect();
        let shown = if is_shown { shown.join(", ") } else { "characters that are not allowed".to_owned() };
        problems.push(format!("it holds {shown}"));
    }
    (!problems.is_empty()).then(|| problems.join(" and "))
}

/// Reads a name. `what` begins the message, as in "a table name".
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

/// The allowed form of a name, and the problem of the one that was given.
pub(super) fn not_allowed(what: &str, lengths: &RangeInclusive<usize>, problem: &str) -> String {
    let (min, max) = (lengths.start(), lengths.end());
    format!("{what} has {min} to {max} letters, digits, `_`, `.` or `-`, but {problem}")
}

/// Reads the URL of a service. White space around it is removed with a notice.
pub(super) fn read_endpoint(reader: &mut Reader<'_>, field: &'static str) -> Option<String> {
    let mut is_padded = false;
    let parsed = reader.parsed(field, |text| {
        is_padded = text.trim().len() < text.len();
        endpoint(text.trim())
    });
    if is_padded {
        reader.notice_trimmed(field);
    }
    parsed
}

fn endpoint(text: &str) -> Result<String, (String, String)> {
    let wrong = |problem: &str| (problem.to_owned(), "write one such as `http://localhost:4566`".to_owned());
    let uri: http::Uri = text.parse().map_err(|_| wrong("this is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(wrong("this is not an http or https URL"));
    }
    if uri.query().is_some() {
        return Err(wrong("an endpoint must not have a query"));
    }
    Ok(text.to_owned())
}

/// Reads `direction`: `input`, `output`, or both with a comma. As in Dapr, case and spaces do not matter.
pub(super) fn read_direction(reader: &mut Reader<'_>) -> Direction {
    let parsed = reader.parsed("direction", |text| {
        let (mut input, mut output) = (false, false);
        for side in text.split(',') {
            match side.trim().to_lowercase().as_str() {
                "input" => input = true,
                "output" => output = true,
                other => {
                    let remedy = nearest(other, ["input", "output"]);
                    let remedy = remedy.map(|word| format!("did you mean `{word}`?"));
                    let all = || "write `input`, `output` or `input, output`".to_owned();
                    return Err(("this is not a direction".to_owned(), remedy.unwrap_or_else(all)));
                }
            }
        }
        Ok(match (input, output) {
            (true, true) => Direction::Both,
            (true, false) => Direction::Input,
            (false, true) => Direction::Output,
            (false, false) => Direction::Unstated,
        })
    });
    parsed.unwrap_or_default()
}

/// Reads `route`, the path at which the app receives events, and adds the leading `/`.
pub(super) fn read_route(reader: &mut Reader<'_>) -> Option<String> {
    reader.parsed("route", |text| {
        let path = format!("/{}", text.trim_start_matches('/'));
        let is_path = path.parse::<http::uri::PathAndQuery>().is_ok_and(|parsed| parsed.query().is_none());
        let has_dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
        if is_path && !path.contains('#') && !text.contains("://") && !has_dots {
            Ok(path)
        } else {
            Err(("this is not a path".to_owned(), "write one such as `/orders`".to_owned()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_characters_are_checked() {
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
