//! `wildcard`: `*` stands for any number of characters.

/// The literal parts between the asterisks; the first and the last may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wildcard {
    parts: Vec<String>,
}

impl Wildcard {
    /// `\*` is an asterisk and `\\` a backslash.
    ///
    /// # Errors
    /// When two asterisks follow each other or something else is escaped.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = vec![String::new()];
        let mut was_asterisk = false;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                '*' if was_asterisk => return Err("two asterisks follow each other"),
                '*' => None,
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '\\')) => Some(escaped),
                    Some(_) | None => return Err("a backslash stands only before an asterisk or a backslash"),
                },
                other => Some(other),
            };
            was_asterisk = literal.is_none();
            match (literal, parts.last_mut()) {
                (Some(literal), Some(part)) => part.push(literal),
                (Some(_), None) | (None, _) => parts.push(String::new()),
            }
        }
        Ok(Self { parts })
    }

    /// The leftmost place of each part is enough, because what follows can only be further right.
    pub(super) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        for part in middle {
            let Some((_, after)) = rest.split_once(part.as_str()) else { return false };
            rest = after;
        }
        true
    }
}
