//! Faults and notices of component files.

use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

/// The position of a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The path, for messages only: bytes that are not UTF-8 are replaced.
    pub file: String,
    /// The document's number in the file, counted from 1; empty documents count.
    pub document: usize,
}

/// An error that prevents the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file or folder.
    pub file: String,
    /// The document's number in the file, from 1; `None` for a whole file or folder.
    pub document: Option<usize>,
    /// The component's name, where known.
    pub component: Option<String>,
    /// The field, as in the documentation.
    pub field: Option<String>,
    pub problem: String,
    pub remedy: String,
    /// Whether it concerns the set of all components, as a name that is taken twice. A reload then changes nothing.
    #[serde(skip)]
    pub concerns_all: bool,
}

impl Fault {
    /// A fault of a whole file or folder.
    #[must_use]
    pub fn of_file(file: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            document: None,
            component: None,
            field: None,
            problem: problem.into(),
            remedy: remedy.into(),
            concerns_all: false,
        }
    }

    /// A fault of one document.
    #[must_use]
    pub fn of_document(place: &Place, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { document: Some(place.document), ..Self::of_file(&place.file, problem, remedy) }
    }

    #[must_use]
    pub fn component(mut self, name: impl Into<String>) -> Self {
        self.component = Some(name.into());
        self
    }

    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        self.field = Some(name.into());
        self
    }

    /// For a component with `ignoreErrors`.
    #[must_use]
    pub fn into_notice(self) -> Notice {
        self.with_reason("left out, as `ignoreErrors` is set")
    }

    /// For a component that is disabled.
    #[must_use]
    pub fn into_disabled(self) -> Notice {
        self.with_reason("it does not matter while the component is disabled")
    }

    /// For a value that is not needed.
    pub(super) fn into_unknown(self) -> Notice {
        self.with_reason("the value is not known, so it is not checked")
    }

    /// For a component that is skipped for its faults, with the beginning of daprd's line about it.
    #[must_use]
    pub fn into_skipped(self, log_name: &str) -> Notice {
        let notice = self.with_reason("it is skipped, as by daprd");
        Notice { text: format!("Failed to init component {log_name}: {}", notice.text), ..notice }
    }

    /// For a file or document that cannot be read, with the beginning of daprd's line about it.
    pub(super) fn into_unread(self) -> Notice {
        let notice = self.with_reason("it is skipped, as by daprd");
        let begin = "daprd load Component error when parsing manifests yaml resource in";
        Notice { text: format!("{begin} {}: {}", notice.file, notice.text), ..notice }
    }

    /// As a notice, with the reason why it does not prevent the start.
    pub(super) fn with_reason(self, reason: &str) -> Notice {
        let field = self.field.map(|field| format!("field `{field}`: ")).unwrap_or_default();
        Notice {
            file: self.file,
            document: self.document,
            component: self.component,
            text: format!("{field}{}; {}; {reason}", self.problem, self.remedy),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.document, self.component.as_deref())?;
        if let Some(field) = &self.field {
            write!(f, "field `{}`: ", plain(field))?;
        }
        write!(f, "{}; {}", plain(&self.problem), plain(&self.remedy))
    }
}

/// Something skipped, ignored or changed; it does not prevent the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The file or folder.
    pub file: String,
    /// The document's number in the file, from 1; `None` for a whole file.
    pub document: Option<usize>,
    /// The component's name, where known.
    pub component: Option<String>,
    /// What was found and done.
    pub text: String,
}

impl Notice {
    /// A notice about a whole file.
    #[must_use]
    pub fn of_file(file: &str, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), document: None, component: None, text: text.into() }
    }

    /// A notice about one document.
    #[must_use]
    pub fn of_document(place: &Place, text: impl Into<String>) -> Self {
        Self { document: Some(place.document), ..Self::of_file(&place.file, text) }
    }

    #[must_use]
    pub fn component(mut self, name: impl Into<String>) -> Self {
        self.component = Some(name.into());
        self
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.document, self.component.as_deref())?;
        f.write_str(&plain(&self.text))
    }
}

/// All faults of one run; displayed as one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }
}

impl Extend<Fault> for Faults {
    fn extend<I: IntoIterator<Item = Fault>>(&mut self, faults: I) {
        self.0.extend(faults);
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

/// The known name that `written` most likely means: it differs only in case, in `-` or `_`, or by few typing errors
/// (one in a short name, three in a long one). `None` if no name is so similar.
#[must_use]
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The time to compare grows with the product of the lengths, and so long a text is not a typing error.
    if written.len() > 200 {
        return None;
    }
    let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
    let written = plain(written);
    let distance = |name: &'k str| (strsim::osa_distance(&written, &plain(name)), name);
    let (errors, name) = known.into_iter().map(distance).min_by_key(|(errors, _)| *errors)?;
    let allowed = match name.len() {
        0..6 => 1,
        6..12 => 2,
        12.. => 3,
    };
    (errors <= allowed).then_some(name)
}

fn write_place(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    document: Option<usize>,
    component: Option<&str>,
) -> fmt::Result {
    write!(f, "{}: ", plain(file))?;
    if let Some(number) = document {
        write!(f, "document {number}: ")?;
    }
    if let Some(name) = component {
        write!(f, "component `{}`: ", plain(name))?;
    }
    Ok(())
}

/// Names and paths come from files: a line break or an escape sequence in them must not forge lines on a terminal.
fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        Cow::Owned(text.chars().map(escape).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { file: "components/a.yaml".into(), document: 2 }
    }

    #[test]
    fn a_fault_says_where_what_and_what_to_do() {
        let fault = Fault::of_document(&place(), "`extnded` is not a mode", "write `extended`").component("orders");
        assert_eq!(
            fault.field("mode").to_string(),
            "components/a.yaml: document 2: component `orders`: field `mode`: `extnded` is not a mode; write `extended`"
        );
    }

    #[test]
    fn faults_show_one_line_each_even_when_a_name_holds_a_line_break() {
        let mut faults = Faults::default();
        faults.push(Fault::of_document(&place(), "bad", "correct it").component("a\nb\u{1b}[2J"));
        faults.push(Fault::of_file(&place().file, "bad", "correct it"));
        let shown = faults.to_string();
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn the_nearest_name_is_found_and_different_names_are_not() {
        let known = ["streamName", "consumerName", "region"];
        assert_eq!(nearest("streamname", known), Some("streamName"));
        assert_eq!(nearest("consumrName", known), Some("consumerName"));
        assert_eq!(nearest("qqq", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
