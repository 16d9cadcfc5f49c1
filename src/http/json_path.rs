//! The path to a place in a JSON text that is incomplete or invalid.

/// Deeper places get the path of what contains them, so that a body of brackets cannot make the path long.
const MAX_DEPTH: usize = 16;
/// Longer names are shortened.
const MAX_NAME: usize = 40;

#[derive(Clone, Copy)]
enum Step<'t> {
    /// In an object; `None` before the name of the member.
    Member(Option<&'t str>),
    Element(usize),
}

/// The path to the place where `before` ends, such as `data.customer.names[2]`; empty at the root or before any name.
/// Names stay as they are written. Never fails; for text that is not JSON the path means little.
pub(super) fn path_after(before: &str) -> String {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut depth = 0_usize;
    let mut rest = before;
    while let Some(at) = rest.find(['"', '{', '[', ',', '}', ']']) {
        let (token, after) = rest.split_at(at).1.split_at(1);
        rest = after;
        let is_shown = depth <= MAX_DEPTH;
        match token {
            "\"" => {
                let Some(end) = end_of_string(after) else { break };
                let (text, after) = after.split_at(end);
                rest = after.get(1..).unwrap_or_default();
                if let Some(Step::Member(name @ None)) = steps.last_mut().filter(|_| is_shown) {
                    *name = Some(text);
                }
            }
            "{" | "[" => {
                depth += 1;
                if depth <= MAX_DEPTH {
                    steps.push(if token == "{" { Step::Member(None) } else { Step::Element(0) });
                }
            }
            "," if is_shown => match steps.last_mut() {
                Some(Step::Member(name)) => *name = None,
                Some(Step::Element(index)) => *index += 1,
                None => {}
            },
            "," => {}
            _ => {
                depth = depth.saturating_sub(1);
                steps.truncate(depth);
            }
        }
    }
    to_text(&steps)
}

/// The end of the string that began before `text`; `None` if it does not end.
fn end_of_string(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(['"', '\\'])?;
        if text.as_bytes().get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 1 + text.get(at + 1..)?.chars().next()?.len_utf8();
    }
}

fn to_text(steps: &[Step<'_>]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Member(None) => {}
            Step::Member(Some(name)) => {
                let end = name.char_indices().nth(MAX_NAME).map(|(at, _)| at);
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(end.and_then(|end| name.get(..end)).unwrap_or(name));
                path.push_str(if end.is_some() { "…" } else { "" });
            }
            Step::Element(index) => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_leads_to_the_place() {
        for (before, path) in [
            ("", ""),
            (r#"{"op"#, ""),
            (r#"{"operation":"#, "operation"),
            (r#"{"operation":"create","data":{"a":{"b\"]":[1,{"x":[]},"tex"#, r#"data.a.b\"][2]"#),
            (r#"{"data":{"a":[1,2],"b":{},"c":"#, "data.c"),
            (r#"{"data":{"a":"{[,]}\\","na"#, "data"),
            (r#"{"data":"a,b","metadata":{"k":"v","partitionKey":"M"#, "metadata.partitionKey"),
            (r#"[[0,"a","#, "[0][2]"),
            (r#"{"ü":"\"#, "ü"),
            ("}]],,:\"\"\"", ""),
        ] {
            assert_eq!(path_after(before), path, "{before}");
        }
    }

    #[test]
    fn deep_places_and_long_names_are_shortened() {
        let deep = r#"{"a":"#.repeat(100_000);
        assert_eq!(path_after(&deep), ["a"; MAX_DEPTH].join("."));
        let back = format!("{deep}1,\"x\":2{}", "}".repeat(100_000 - 1));
        assert_eq!(path_after(&back), "a", "the way back up is found too");
        assert_eq!(path_after(&format!(r#"{{"{}":"#, "ü".repeat(50))), format!("{}…", "ü".repeat(MAX_NAME)));
    }
}
