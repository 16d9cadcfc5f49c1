//! Typed access to the items of one document.

use super::document::Item;
use super::fault::{Fault, Faults, Notice, nearest};
use super::method::Methods;
use super::secret_text::{is_secret_name, shows_secret};
use super::{Document, parse_duration_or_seconds, parse_size, values};
use crate::domain::ComponentName;
use secrecy::{ExposeSecret, SecretString};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Reads items by name, ignoring case, and collects their faults and notices.
///
/// A getter returns `None` for an item that is missing or empty (the same for Dapr), and for a wrong one, which it also
/// records as a fault. So a kind reads all of its fields, then calls [`Reader::finish`].
#[derive(Debug)]
pub struct Reader<'d> {
    document: &'d Document,
    names_read: Vec<&'static str>,
    /// Whether the kind passes all items on, so that none is unknown.
    passes_on: bool,
    foreign: ForeignNames,
    faults: Faults,
    notices: Vec<Notice>,
}

/// Field names of other tools, each with advice on what to write instead.
pub type ForeignNames = &'static [(&'static str, &'static str)];

impl<'d> Reader<'d> {
    #[must_use]
    pub const fn new(document: &'d Document) -> Self {
        Self {
            document,
            names_read: Vec::new(),
            passes_on: false,
            foreign: &[],
            faults: Faults(Vec::new()),
            notices: Vec::new(),
        }
    }

    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.item(name).map(|(_, value)| value.expose_secret().to_owned())
    }

    /// All names and values, for a kind that passes them on: no item is unknown to it. An item without a value has its own
    /// fault, and is left out.
    pub fn properties(&mut self) -> Vec<(String, SecretString)> {
        self.passes_on = true;
        let valued = |item: &Item| Some((item.name.clone(), item.value.clone()?));
        self.document.items.iter().filter_map(valued).collect()
    }

    /// A text without the white space around it, which a notice names. A blank text counts as missing.
    pub fn trimmed_text(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        let trimmed = text.trim();
        if trimmed.len() < text.len() {
            self.notice_trimmed(name);
        }
        Some(trimmed.to_owned()).filter(|text| !text.is_empty())
    }

    /// Records that white space around a value was removed.
    pub fn notice_trimmed(&mut self, name: &str) {
        self.notice(name, "white space around the value was removed; correct it at its source");
    }

    /// Which of two names for the same field the file uses; `name` if it uses neither. Both at once are a fault.
    pub fn name_or_alias(&mut self, name: &'static str, alias: &'static str) -> &'static str {
        self.names_read.extend([name, alias]);
        match (self.is_given(name), self.is_given(alias)) {
            (true, true) => {
                self.fault(alias, format!("`{name}` is given too, and means the same"), "leave one of them out");
                name
            }
            (false, true) => alias,
            (true | false, false) => name,
        }
    }

    /// A text that is required.
    pub fn required_text(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name);
        if !self.is_given(name) {
            self.fault(name, "the field is missing", format!("add an item `- name: {name}` with its value"));
        }
        text
    }

    /// A text that must not be shown.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.item(name).map(|(_, value)| value.clone())
    }

    /// `y`, `yes`, `t`, `true`, `on`, `1` are true, their opposites false, in any case. Any other text is a fault, or false
    /// as in daprd if the files are read as daprd reads them.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let (item, value) = self.item(name)?;
        let boolean = values::boolean(value.expose_secret());
        if boolean.is_none() && self.is_dapr_compat() {
            self.notice(name, "the value is not a boolean and counts as false, as in daprd");
            return Some(false);
        }
        if boolean.is_none() {
            self.fault(name, format!("{} is not a boolean", shown(item)), "write `true` or `false`");
        }
        boolean
    }

    /// A whole number within a range.
    pub fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (item, value) = self.item(name)?;
        let number = value.expose_secret().trim().parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let remedy = format!("write one from {} to {}", range.start(), range.end());
            self.fault(name, format!("{} is not a whole number in range", shown(item)), remedy);
        }
        number
    }

    /// A size in bytes within a range, as a Kubernetes quantity: `5Mi`, `512Ki`, `1M`, `1048576`.
    pub fn size(&mut self, name: &'static str, range: RangeInclusive<usize>) -> Option<usize> {
        let (item, value) = self.item(name)?;
        let parsed = parse_size(value.expose_secret().trim()).and_then(|bytes| usize::try_from(bytes).ok());
        let size = parsed.filter(|bytes| range.contains(bytes));
        if size.is_none() {
            let problem = if parsed.is_some() { "is out of range" } else { "is not a size" };
            let remedy = format!("write one from {} to {} bytes; `Ki` or `Mi` may follow", range.start(), range.end());
            self.fault(name, format!("{} {problem}", shown(item)), remedy);
        }
        size
    }

    /// A duration within a range: Go's form (`1m30s`), or a bare number of seconds.
    pub fn duration(&mut self, name: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (item, value) = self.item(name)?;
        let parsed = parse_duration_or_seconds(value.expose_secret().trim());
        let remedy = format!("write one from {:?} to {:?}, such as `10s`", range.start(), range.end());
        match parsed {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                self.fault(name, format!("{} is out of range", shown(item)), remedy);
                None
            }
            Err(error) => {
                self.fault(name, format!("{}: {error}", shown(item)), remedy);
                None
            }
        }
    }

    /// One of the given words, compared with case; returns its value.
    pub fn one_of<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let (item, value) = self.item(name)?;
        let text = value.expose_secret();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let remedy = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean `{word}`?"),
            None => {
                let list: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                format!("write one of {}", list.join(", "))
            }
        };
        self.fault(name, format!("{} is not known", shown(item)), remedy);
        None
    }

    /// A text that a parser of the kind must accept. Its error is the problem and the remedy.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, (String, String)>,
    ) -> Option<T> {
        let (item, value) = self.item(name)?;
        match parse(value.expose_secret()) {
            Ok(value) => Some(value),
            Err((problem, remedy)) => {
                self.fault(name, format!("{}: {problem}", shown(item)), remedy);
                None
            }
        }
    }

    /// Records a fault that only the kind can detect, such as two fields that exclude each other.
    pub fn fault(&mut self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let fault = Fault::of_document(&self.document.place, problem, remedy);
        self.faults.push(fault.component(self.document.name.as_str()).field(field));
    }

    /// Sets the names of other tools, so that notices about unknown items say what to write instead.
    pub const fn set_foreign_names(&mut self, foreign: ForeignNames) {
        self.foreign = foreign;
    }

    /// Runs `read`. Also returns the fields that it read and that the file has, so that a kind can name them in one
    /// notice.
    pub fn given_fields_of<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> (T, Vec<&'static str>) {
        let before = self.names_read.len();
        let value = read(self);
        let mut given = Vec::new();
        for name in self.names_read.get(before..).unwrap_or_default() {
            if self.is_given(name) && !given.contains(name) {
                given.push(*name);
            }
        }
        (value, given)
    }

    /// Records a notice.
    pub fn notice(&mut self, field: &str, text: &str) {
        let notice = Notice::of_document(&self.document.place, format!("field `{field}`: {text}"));
        self.notices.push(notice.component(self.document.name.as_str()));
    }

    /// Names of the items that were read so far, in order and with repetitions: after a kind has read its whole spec,
    /// all the fields that it knows. The documentation's tables are compared with them.
    #[must_use]
    pub fn names_read(&self) -> &[&'static str] {
        &self.names_read
    }

    /// All faults and notices. Each item that was never read gives a notice.
    #[must_use]
    pub fn finish(self) -> (Faults, Vec<Notice>) {
        let is_unread =
            |item: &&Item| !self.passes_on && !self.names_read.iter().any(|name| name.eq_ignore_ascii_case(&item.name));
        let notice = |item: &Item| {
            let foreign = self.foreign.iter().find(|(name, _)| name.eq_ignore_ascii_case(&item.name));
            let hint = foreign.map(|(_, advice)| format!(", a name of another tool: {advice}")).or_else(|| {
                let name = nearest(&item.name, self.names_read.iter().copied())?;
                Some(format!(", did you mean `{name}`?"))
            });
            let name: String = item.name.chars().take(64).collect();
            let text = format!("unknown field `{name}`{}", hint.unwrap_or_else(|| "; it has no effect".to_owned()));
            Notice::of_document(&self.document.place, text).component(self.document.name.as_str())
        };
        let unread = self.document.items.iter().filter(is_unread).map(notice);
        (self.faults, self.notices.into_iter().chain(unread).collect())
    }

    /// Whether the item exists and is not empty. True also when its reference cannot be resolved, which has its own
    /// fault.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        let is_given = |item: &Item| item.value.as_ref().is_none_or(|value| !value.expose_secret().is_empty());
        self.named(name).is_some_and(is_given)
    }

    /// Whether the document has the field without a value.
    #[must_use]
    pub fn is_empty(&self, name: &str) -> bool {
        self.named(name).and_then(|item| item.value.as_ref()).is_some_and(|value| value.expose_secret().is_empty())
    }

    /// Whether the value had `{uuid}` in it, which was filled in.
    #[must_use]
    pub fn had_uuid(&self, name: &str) -> bool {
        self.named(name).is_some_and(|item| item.compared.is_some())
    }

    /// Whether a message may show the value: the file has it itself and not by a reference, and it is no secret.
    #[must_use]
    pub fn is_written(&self, name: &str) -> bool {
        self.named(name).is_some_and(|item| shown_text(item).is_some())
    }

    /// Whether the component behaves as that of daprd; see [`super::ComponentFiles::with_dapr_compat`].
    #[must_use]
    pub const fn is_dapr_compat(&self) -> bool {
        self.document.dapr_compat
    }

    /// The methods that the document may use.
    #[must_use]
    pub fn methods(&self) -> &'d Methods {
        self.document.methods()
    }

    /// The id of the app that the files are loaded for, where it is known.
    #[must_use]
    pub fn app_id(&self) -> Option<&str> {
        self.document.app_id.as_deref()
    }

    #[must_use]
    pub const fn component(&self) -> &ComponentName {
        &self.document.name
    }

    fn named(&self, name: &str) -> Option<&'d Item> {
        self.document.items.iter().find(|item| item.name.eq_ignore_ascii_case(name))
    }

    fn item(&mut self, name: &'static str) -> Option<(&'d Item, &'d SecretString)> {
        self.names_read.push(name);
        let item = self.named(name)?;
        let value = item.value.as_ref().filter(|value| !value.expose_secret().is_empty())?;
        Some((item, value))
    }
}

/// The value for a message: only its beginning, and only if it may be shown. One that is wrong may be a URL with a password
/// that is not complete, so an `@` is enough to hide it.
fn shown(item: &Item) -> String {
    let Some(text) = shown_text(item).filter(|text| !text.contains('@')) else { return "the value".to_owned() };
    let start: String = text.chars().take(64).collect();
    if start.len() < text.len() { format!("`{start}…`") } else { format!("`{start}`") }
}

/// The value, if the file has it itself and not by a reference, and neither its name nor its form is that of a secret.
fn shown_text(item: &Item) -> Option<&str> {
    let may_be_shown = item.is_literal && !is_secret_name(&item.name);
    let text = item.value.as_ref().filter(|_| may_be_shown)?.expose_secret();
    (!shows_secret(text)).then_some(text)
}
