//! Log lines with Dapr's fields, as text and as JSON. Own fields follow them under their own names.

use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Dapr's fields. An own field of such a name is written as `fields.<name>`.
const DAPR_FIELDS: [&str; 8] = ["app_id", "instance", "level", "msg", "scope", "time", "type", "ver"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// `key=value`, as daprd writes it.
    Text,
    /// One object per line.
    Json,
}

/// The fields of spans and events, each with a separator before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DaprFields(pub(super) Syntax);

/// Formats whole lines.
#[derive(Debug, Clone)]
pub(super) struct DaprFormat {
    syntax: Syntax,
    app_id: String,
    instance: String,
}

impl DaprFormat {
    pub(super) fn new(syntax: Syntax, app_id: &str) -> Self {
        Self { syntax, app_id: app_id.to_owned(), instance: host_name() }
    }

    fn write_line(&self, line: &mut Line, level: Level, fields: &Collected) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.text("time", &time)?;
        line.text("level", level_word(level))?;
        line.text("msg", &fields.message)?;
        if !self.app_id.is_empty() {
            line.text("app_id", &self.app_id)?;
        }
        line.text("instance", &self.instance)?;
        line.text("scope", scope(&fields.target))?;
        line.text("type", "log")?;
        line.text("ver", env!("CARGO_PKG_VERSION"))
    }
}

impl<S, N> FormatEvent<S, N> for DaprFormat
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Collected::new(self.syntax, event.metadata().target());
        event.record(&mut fields);
        let rest = std::mem::take(&mut fields.rest);
        let mut line = Line { syntax: self.syntax, text: String::with_capacity(256) };
        self.write_line(&mut line, *event.metadata().level(), &fields)?;
        line.text.push_str(&rest.text);
        let mut names: Vec<&str> = event.metadata().fields().iter().map(|field| field.name()).collect();
        for span in context.event_scope().into_iter().flatten() {
            let of_span: Vec<&str> = span.metadata().fields().iter().map(|field| field.name()).collect();
            // A name must not be twice in an object, and the event says more than its span.
            if of_span.iter().any(|name| names.contains(name)) {
                continue;
            }
            names.extend(of_span);
            if let Some(formatted) = span.extensions().get::<FormattedFields<N>>() {
                line.text.push_str(formatted);
            }
        }
        let text = line.text.get(1..).unwrap_or_default();
        match self.syntax {
            Syntax::Text => writeln!(writer, "{text}"),
            Syntax::Json => writeln!(writer, "{{{text}}}"),
        }
    }
}

impl<'w> FormatFields<'w> for DaprFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut collected = Collected::new(self.0, "");
        fields.record(&mut collected);
        writer.write_str(&collected.rest.text)
    }
}

/// The parts of an event.
struct Collected {
    message: String,
    target: String,
    rest: Line,
}

impl Collected {
    fn new(syntax: Syntax, target: &str) -> Self {
        Self { message: String::new(), target: target.to_owned(), rest: Line { syntax, text: String::new() } }
    }

    fn text(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            // Events of the crate `log` have their target in a field.
            "log.target" => value.clone_into(&mut self.target),
            name if name.starts_with("log.") => {}
            // Writing to a string cannot fail.
            name => self.rest.own(name, |line| line.value(value)).unwrap_or_default(),
        }
    }

    /// A number or a boolean, which JSON has without quotes.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        if !field.name().starts_with("log.") {
            self.rest.own(field.name(), |line| write!(line.text, "{value}")).unwrap_or_default();
        }
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, &value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() { self.plain(field, value) } else { self.text(field, &value.to_string()) }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }
}

/// Fields, each with a separator before it.
#[derive(Debug)]
struct Line {
    syntax: Syntax,
    text: String,
}

impl Default for Line {
    fn default() -> Self {
        Self { syntax: Syntax::Text, text: String::new() }
    }
}

impl Line {
    /// One of Dapr's fields.
    fn text(&mut self, key: &str, value: &str) -> fmt::Result {
        self.key(key)?;
        self.value(value)
    }

    fn own(&mut self, name: &str, value: impl FnOnce(&mut Self) -> fmt::Result) -> fmt::Result {
        let name = name.strip_prefix("r#").unwrap_or(name);
        if DAPR_FIELDS.contains(&name) { self.key(&format!("fields.{name}")) } else { self.key(name) }?;
        value(self)
    }

    fn key(&mut self, key: &str) -> fmt::Result {
        match self.syntax {
            Syntax::Text => write!(self.text, " {key}="),
            Syntax::Json => write!(self.text, ",\"{key}\":"),
        }
    }

    fn value(&mut self, value: &str) -> fmt::Result {
        match self.syntax {
            Syntax::Text if is_bare(value) => self.text.write_str(value),
            Syntax::Text => quote(&mut self.text, value),
            Syntax::Json => self.text.write_str(&serde_json::to_string(value).map_err(|_| fmt::Error)?),
        }
    }
}

/// Whether logrus writes a value without quotes.
fn is_bare(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte))
}

/// As `%q` of Go: quotes and backslashes are escaped, and so is everything that is not printable.
fn quote(line: &mut String, value: &str) -> fmt::Result {
    line.push('"');
    for letter in value.chars() {
        match letter {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            letter if letter.is_ascii_control() => write!(line, "\\x{:02x}", u32::from(letter))?,
            letter if letter.is_control() || is_format(letter) => write!(line, "\\u{:04x}", u32::from(letter))?,
            letter => line.push(letter),
        }
    }
    line.push('"');
    Ok(())
}

/// Characters without a shape of their own that can change how a terminal shows a line.
const fn is_format(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

const fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The name of Dapr's logger for the module that wrote a line. Targets that are such a name already, and those of other
/// crates, stay.
fn scope(target: &str) -> &str {
    let Some(module) = target.strip_prefix("bindd") else { return target };
    match module.trim_start_matches("::").split("::").next().unwrap_or_default() {
        "aws" | "bindings" | "consumer" | "producer" => "dapr.contrib",
        "http" => "dapr.runtime.http",
        "grpc" => "dapr.runtime.grpc.api",
        _ => "dapr.runtime",
    }
}

/// Of Linux; `localhost` elsewhere.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
#[path = "tests/log_format.rs"]
mod tests;
