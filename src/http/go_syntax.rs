//! The text of Go's decoder about a body that is not JSON: the first byte that cannot continue the text, and what was
//! expected there.

/// Where the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a value.
    Value,
    /// After `[`, where the array may end.
    ValueOrEnd,
    /// After `{`, where the object may end.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    AfterKey,
    AfterValue,
}

/// The error, and the byte offset of its character; `None` for text that Go accepts or that only ends too early.
pub(super) fn error(text: &str) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let mut containers = Vec::new();
    let (mut place, mut at) = (Place::Value, 0);
    loop {
        while bytes.get(at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            at += 1;
        }
        let byte = *bytes.get(at)?;
        let step = match (place, byte) {
            (Place::Value | Place::ValueOrEnd, b'{' | b'[') => {
                containers.push(byte);
                place = if byte == b'{' { Place::KeyOrEnd } else { Place::ValueOrEnd };
                Ok(at + 1)
            }
            (Place::ValueOrEnd, b']') | (Place::KeyOrEnd, b'}') => {
                containers.pop();
                place = Place::AfterValue;
                Ok(at + 1)
            }
            (Place::Value | Place::ValueOrEnd, _) => {
                place = Place::AfterValue;
                scalar(bytes, at)
            }
            (Place::Key | Place::KeyOrEnd, b'"') => {
                place = Place::AfterKey;
                string(bytes, at + 1)
            }
            (Place::Key | Place::KeyOrEnd, _) => Err((at, "looking for beginning of object key string".to_owned())),
            (Place::AfterKey, b':') => {
                place = Place::Value;
                Ok(at + 1)
            }
            (Place::AfterKey, _) => Err((at, "after object key".to_owned())),
            (Place::AfterValue, _) => after_value(&mut containers, &mut place, byte, at),
        };
        match step {
            Ok(next) => at = next,
            Err((at, _)) if at >= bytes.len() => return None,
            Err((at, context)) => return Some((message(bytes[at], &context), at)),
        }
        // Go reads one value, and nothing after it.
        if containers.is_empty() && place == Place::AfterValue {
            return None;
        }
    }
}

type Step = Result<usize, (usize, String)>;

fn after_value(containers: &mut Vec<u8>, place: &mut Place, byte: u8, at: usize) -> Step {
    let is_object = containers.last() == Some(&b'{');
    match byte {
        b',' => *place = if is_object { Place::Key } else { Place::Value },
        b'}' if is_object => drop(containers.pop()),
        b']' if !is_object => drop(containers.pop()),
        _ => {
            let context = if is_object { "after object key:value pair" } else { "after array element" };
            return Err((at, context.to_owned()));
        }
    }
    Ok(at + 1)
}

/// The end of a string, number or literal that begins at `at`.
fn scalar(bytes: &[u8], at: usize) -> Step {
    match bytes[at] {
        b'"' => string(bytes, at + 1),
        b't' => literal(bytes, at, "true"),
        b'f' => literal(bytes, at, "false"),
        b'n' => literal(bytes, at, "null"),
        b'-' | b'0'..=b'9' => number(bytes, at),
        _ => Err((at, "looking for beginning of value".to_owned())),
    }
}

fn literal(bytes: &[u8], at: usize, word: &str) -> Step {
    for (offset, expected) in word.bytes().enumerate() {
        if bytes.get(at + offset) != Some(&expected) {
            return Err((at + offset, format!("in literal {word} (expecting {})", quoted(expected))));
        }
    }
    Ok(at + word.len())
}

/// The end of a string whose text begins at `at`.
fn string(bytes: &[u8], mut at: usize) -> Step {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at + 1)?,
            Some(0x20..) => at += 1,
            Some(_) | None => return Err((at, "in string literal".to_owned())),
        }
    }
}

fn escape(bytes: &[u8], at: usize) -> Step {
    match bytes.get(at) {
        Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => Ok(at + 1),
        Some(b'u') => {
            let digits = bytes[at + 1..].iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
            if digits == 4 {
                Ok(at + 5)
            } else {
                Err((at + 1 + digits, "in \\u hexadecimal character escape".to_owned()))
            }
        }
        Some(_) | None => Err((at, "in string escape code".to_owned())),
    }
}

fn number(bytes: &[u8], mut at: usize) -> Step {
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let some_digits = |from: usize, context: &str| match digits(from) {
        0 => Err((from, context.to_owned())),
        count => Ok(from + count),
    };
    if bytes[at] == b'-' {
        at += 1;
    }
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { some_digits(at, "in numeric literal")? };
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(at + 1, "after decimal point in numeric literal")?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = some_digits(at + 1 + sign, "in exponent of numeric literal")?;
    }
    Ok(at)
}

fn message(byte: u8, context: &str) -> String {
    format!("invalid character {} {context}", quoted(byte))
}

/// As Go quotes one byte, which it takes for a character of Latin-1.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0..0x20 | 0x7f => format!(r"'\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!(r"'\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_texts_are_those_of_go() {
        for (body, text, offset) in [
            ("{,}", "invalid character ',' looking for beginning of object key string", 1),
            ("{1:2}", "invalid character '1' looking for beginning of object key string", 1),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string", 7),
            (r#"{"a" 1}"#, "invalid character '1' after object key", 5),
            (r#"{"a":,}"#, "invalid character ',' looking for beginning of value", 5),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair", 7),
            ("[1 2]", "invalid character '2' after array element", 3),
            ("[1}", "invalid character '}' after array element", 2),
            ("[1,]", "invalid character ']' looking for beginning of value", 3),
            ("hello", "invalid character 'h' looking for beginning of value", 0),
            ("'a'", r"invalid character '\'' looking for beginning of value", 0),
            ("\n nope", "invalid character 'o' in literal null (expecting 'u')", 3),
            ("tru\n", r"invalid character '\n' in literal true (expecting 'e')", 3),
            ("[-]", "invalid character ']' in numeric literal", 2),
            ("[1.]", "invalid character ']' after decimal point in numeric literal", 3),
            ("[1e+]", "invalid character ']' in exponent of numeric literal", 4),
            ("[01]", "invalid character '1' after array element", 2),
            ("[\"a\nb\"]", r"invalid character '\n' in string literal", 3),
            (r#"["\x"]"#, "invalid character 'x' in string escape code", 3),
            (r#"["\u12g4"]"#, r"invalid character 'g' in \u hexadecimal character escape", 6),
            ("ü", "invalid character 'Ã' looking for beginning of value", 0),
            ("\u{1}", r"invalid character '\x01' looking for beginning of value", 0),
        ] {
            assert_eq!(error(body), Some((text.to_owned(), offset)), "{body}");
        }
    }

    #[test]
    fn text_that_is_valid_or_ends_too_early_has_no_invalid_character() {
        for body in [
            "",
            " ",
            "{",
            "[",
            r#"{"a"#,
            r#"{"a":"#,
            "[-",
            "[1.",
            "[1e",
            r#"["\"#,
            r#"["\u12"#,
            "tr",
            "{} }",
            "null,",
            "7 8",
        ] {
            assert_eq!(error(body), None, "{body}");
        }
    }

    proptest! {
        /// The scanner and serde_json agree about what is JSON. Only containers: after a number, Go ignores what follows.
        #[test]
        fn only_text_that_is_not_json_has_an_error(text in r#"[\[{][\[\]{}:,"\\0-9a-fntruel.eE+\- ]{0,16}"#) {
            let parsed = serde_json::Deserializer::from_str(&text).into_iter::<&serde_json::value::RawValue>().next();
            match parsed {
                // serde_json looks at four digits at once, Go at each: they disagree where the text ends within them.
                Some(Err(_)) if text.contains("\\u") => {}
                Some(Err(problem)) if problem.is_syntax() => {
                    // Of a number that ends too early, serde_json says that it is invalid.
                    let ends_in_number = text.ends_with(['-', '+', '.', 'e', 'E']);
                    prop_assert!(error(&text).is_some() || ends_in_number, "{text}");
                }
                Some(Ok(_) | Err(_)) | None => prop_assert_eq!(error(&text), None),
            }
        }
    }
}
