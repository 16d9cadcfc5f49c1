//! Expands `$VAR` and `${VAR}` in a text as Go's `os.ExpandEnv` does. Pure.

/// Replaces each reference by what `value` returns; an unset variable is empty. A `$` before anything that is no name
/// stays, `${}` and an open `${` vanish. As in Go, `$1` and `$$` are references to variables of these names.
pub(super) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, length) = reference(after);
        match name {
            _ if after.is_empty() => expanded.push('$'),
            "" if length == 0 => expanded.push('$'),
            "" => {}
            name => expanded.push_str(&value(name).unwrap_or_default()),
        }
        rest = after.get(length..).unwrap_or_default();
    }
    expanded.push_str(rest);
    expanded
}

/// The name after a `$`, and how many bytes it takes there.
fn reference(text: &str) -> (&str, usize) {
    if let Some(inside) = text.strip_prefix('{') {
        return match inside.find('}') {
            Some(end) => (inside.get(..end).unwrap_or_default(), end + 2),
            None => ("", 1),
        };
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || "*#$@!?-".contains(c)) {
        return (text.get(..1).unwrap_or_default(), 1);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_are_replaced_as_in_go() {
        let value = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "LONG_NAME2" => Some("$A".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("x: $A-${A}", "x: 1-1"),
            ("$LONG_NAME2.", "$A."),
            ("[$UNSET][${UNSET}]", "[][]"),
            ("^/orders$", "^/orders$"),
            ("\"a$\"", "\"a$\""),
            ("a$ b", "a$ b"),
            ("${}x", "x"),
            ("${A", "A"),
            ("$$A", "A"),
            ("$1x", "x"),
            ("$é", "$é"),
        ] {
            assert_eq!(expand(text, &value), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_a_text_without_a_dollar_stays(text in "\\PC*|[$A{}é]{0,20}") {
            let expanded = expand(&text, &|_| None);
            prop_assert!(text.contains('$') || expanded == text);
        }
    }
}
