//! Splits a YAML file into its documents.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// The text between two separators.
    pub(super) text: &'a str,
    /// Lines of the file before it.
    pub(super) lines_before: usize,
    /// Whether its `---` line has text other than a comment; that text is not part of the document.
    pub(super) separator_has_text: bool,
}

/// Splits at every line that begins with `---` and drops the rest of that line, as Dapr does. (In YAML the rest belongs
/// to the document, but a file must have the same meaning here and in daprd.) Directives (`%YAML 1.2`, `%TAG …`) before
/// a separator belong to no document and are dropped too.
pub(super) fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let mut begin = 0;
    let mut chunk = Chunk { text: "", lines_before: 0, separator_has_text: false };
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let end = offset + line.len();
        if let Some(rest) = line.strip_prefix("---") {
            let body = without_directives(text.get(begin..offset).unwrap_or_default());
            chunks.push(Chunk { text: body, ..chunk });
            let rest = rest.trim();
            chunk.lines_before = number + 1;
            chunk.separator_has_text = !rest.is_empty() && !rest.starts_with('#');
            begin = end;
        }
        offset = end;
    }
    chunks.push(Chunk { text: text.get(begin..).unwrap_or_default(), ..chunk });
    // A separator at the top opens the first document; it does not close an empty one.
    if chunks.len() > 1 && chunks.first().is_some_and(|first| is_blank(first.text)) {
        chunks.remove(0);
    }
    chunks
}

/// The text without the directives at its end. Only lines at the top of a file, or after a line `...` that ends the
/// previous document, are directives; elsewhere a `%` is text.
fn without_directives(text: &str) -> &str {
    let mut end = text.len();
    let mut directives = text.len();
    for line in text.split_inclusive('\n').rev() {
        end -= line.len();
        if line.starts_with('%') {
            directives = end;
        } else if !is_blank(line) {
            let is_end = line.strip_prefix("...").is_some_and(|rest| rest.trim().is_empty());
            return if is_end { text.get(..directives).unwrap_or(text) } else { text };
        }
    }
    text.get(..directives).unwrap_or(text)
}

/// Whether the text has only white space and comments.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        split(text).into_iter().map(|chunk| chunk.text).collect()
    }

    #[test]
    fn separators_split_and_their_line_is_dropped() {
        assert_eq!(texts("a: 1\n--- # second\nb: 2\n"), ["a: 1\n", "b: 2\n"]);
        assert_eq!(texts("a: 1\r\n---\r\nb: 2"), ["a: 1\r\n", "b: 2"]);
        assert_eq!(texts("---\na: 1\n"), ["a: 1\n"]);
        assert_eq!(texts("# note\n---\na: 1\n"), ["a: 1\n"]);
        assert_eq!(texts("a: 1\n---\n"), ["a: 1\n", ""]);
        assert_eq!(texts(""), [""]);
        assert_eq!(texts("a: |\n  ---\n  x\n"), ["a: |\n  ---\n  x\n"]);
    }

    #[test]
    fn directives_belong_to_no_document() {
        assert_eq!(texts("%YAML 1.2\n---\na: 1\n"), ["a: 1\n"]);
        assert_eq!(texts("# note\n%YAML 1.2\r\n%TAG !e! tag:example.com,2000:\r\n---\r\na: 1\r\n"), ["a: 1\r\n"]);
        assert_eq!(texts("a: 1\n...\n%YAML 1.2\n---\nb: 2\n"), ["a: 1\n...\n", "b: 2\n"]);
        for kept in ["a: |\n%x\n", "a: 1\n%YAML 1.2\n", "a: 1\n....\n%x\n"] {
            assert_eq!(texts(&format!("{kept}---\nb: 2\n")), [kept, "b: 2\n"]);
        }
        assert_eq!(texts("%YAML 1.2\na: 1\n"), ["%YAML 1.2\na: 1\n"], "nothing ends the directives");
    }

    #[test]
    fn lines_before_a_document_are_counted() {
        let chunks = split("a: 1\n---\nb: 2\nc: 3\n--- d: 4\ne: 5\n");
        assert_eq!(chunks.iter().map(|chunk| chunk.lines_before).collect::<Vec<_>>(), [0, 2, 5]);
        assert_eq!(chunks.iter().map(|chunk| chunk.separator_has_text).collect::<Vec<_>>(), [false, false, true]);
    }
}
