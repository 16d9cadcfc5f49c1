//! Sets up the log subscriber.

use super::log_format::{DaprFields, DaprFormat, Syntax};
use super::log_output::{LineWriter, LogOutput};
use std::borrow::Cow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// Text as daprd writes it (`--dapr-compat`).
    DaprText,
    /// One JSON object per line with Dapr's fields (`--log-as-json`).
    Json,
}

/// What is logged, how and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// A level (`info`) or a `tracing` filter.
    pub filter: String,
    pub format: LogFormat,
    pub output: LogOutput,
    /// The field `app_id`, which is left out if this is empty.
    pub app_id: String,
}

/// A single word that is not a level would be the name of a target, and switch off every other log line.
fn check_level(filter: &str) -> Result<(), String> {
    let is_word = !filter.is_empty() && filter.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word && dapr_level(filter).is_none() && filter.parse::<LevelFilter>().is_err() {
        return Err(format!("log level `{filter}` is not known: use trace, debug, info, warn, error, fatal or off"));
    }
    Ok(())
}

/// Dapr's words that `tracing` does not know. A fatal error is printed when the process ends, and is no log line.
fn dapr_level(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "warning" => Some("warn"),
        "fatal" => Some("off"),
        _ => None,
    }
}

/// The directives of a filter. `debug` and `trace` without a target apply to bindd alone, because at `trace` the AWS SDK
/// logs the bodies of requests. To see them, name the crate in the filter.
fn directives(filter: &str) -> Cow<'_, str> {
    let filter = filter.trim();
    let filter = dapr_level(filter).unwrap_or(filter);
    match filter.parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::INFO => Cow::Owned(format!("info,bindd={level}")),
        Ok(_) | Err(_) => Cow::Borrowed(filter),
    }
}

/// Starts logging. A second call in one process keeps the first subscriber, so that tests may call it freely.
///
/// # Errors
/// When the filter cannot be read, or the file cannot be opened; the text says why.
pub fn init(settings: &LogSettings) -> Result<(), String> {
    let filter = &settings.filter;
    check_level(filter.trim())?;
    let filter = EnvFilter::try_new(directives(filter))
        .map_err(|error| format!("log level `{filter}` cannot be read: {error}"))?;
    let writer = LineWriter::open(&settings.output)?;
    let (has_colours, log) = (writer.is_terminal(), writer.clone());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(has_colours);
    let with_fields_of_dapr = |syntax| (DaprFields(syntax), DaprFormat::new(syntax, &settings.app_id));
    let started = match settings.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::DaprText => {
            let (fields, format) = with_fields_of_dapr(Syntax::Text);
            builder.with_ansi(false).fmt_fields(fields).event_format(format).try_init()
        }
        LogFormat::Json => {
            let (fields, format) = with_fields_of_dapr(Syntax::Json);
            builder.with_ansi(false).fmt_fields(fields).event_format(format).try_init()
        }
    };
    match started {
        Ok(()) => log.publish(),
        Err(error) => tracing::debug!(%error, "logging was already set up"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_single_word_must_be_a_level() {
        for level in ["info", "WARN", "off", "warning", "Fatal", "bindd=debug", "info,hyper=warn", "bindd::http"] {
            assert_eq!(super::check_level(level), Ok(()), "{level}");
        }
        for wrong in ["loud", "verbose", "warnings", "panic"] {
            assert!(super::check_level(wrong).unwrap_err().contains("use trace, debug"), "{wrong}");
        }
    }

    #[test]
    fn the_later_of_two_directives_for_one_target_applies() {
        let filter = super::EnvFilter::try_new("emulator=error,other=error,info,emulator=debug").unwrap().to_string();
        assert!(filter.contains("emulator=debug") && filter.contains("other=error"), "{filter}");
        assert!(!filter.contains("emulator=error"), "{filter}");
    }

    #[test]
    fn debug_and_trace_without_a_target_apply_to_bindd_only() {
        for (filter, expected) in [
            ("trace", "info,bindd=trace"),
            ("debug", "info,bindd=debug"),
            (" TRACE ", "info,bindd=trace"),
            ("5", "info,bindd=trace"),
            ("4", "info,bindd=debug"),
            ("info", "info"),
            ("warn", "warn"),
            ("Warning", "warn"),
            ("fatal", "off"),
            ("off", "off"),
            ("trace,hyper=warn", "trace,hyper=warn"),
            ("info,h2=trace", "info,h2=trace"),
            ("bindd=debug", "bindd=debug"),
        ] {
            assert_eq!(super::directives(filter), expected, "{filter}");
            assert!(super::EnvFilter::try_new(super::directives(filter)).is_ok());
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_value_cannot_forge_a_line() {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
        let said = "a\nINFO forged\u{1b}[2K\r";
        tracing::subscriber::with_default(builder.finish(), || tracing::info!(value = said, "said"));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(text.bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control()), "{text:?}");
    }

    #[test]
    fn a_terminal_can_have_colours() {
        // Panics if the crate is built without colours, which runs without a terminal would not show.
        drop(tracing_subscriber::fmt().with_ansi(true));
    }
}
