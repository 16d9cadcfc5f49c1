//! Sets up the log subscriber.

use std::borrow::Cow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line (`--log-as-json`).
    Json,
}

/// The directives of a filter. `debug` and `trace` without a target apply to bindd alone, because at `trace` the AWS SDK
/// logs the bodies of requests. To see them, name the crate in the filter.
/// A single word that is not a level would be the name of a target, and switch off every other log line.
fn check_level(filter: &str) -> Result<(), String> {
    let is_word = !filter.is_empty() && filter.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word && filter.parse::<LevelFilter>().is_err() {
        return Err(format!("log level `{filter}` is not known: use trace, debug, info, warn, error or off"));
    }
    Ok(())
}

fn directives(filter: &str) -> Cow<'_, str> {
    match filter.trim().parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::INFO => Cow::Owned(format!("info,bindd={level}")),
        Ok(_) | Err(_) => Cow::Borrowed(filter),
    }
}

/// Starts logging to standard error. `filter` is a level (`info`) or a `tracing` filter. A second call in one process keeps
/// the first subscriber, so that tests may call it freely.
///
/// # Errors
/// When the filter cannot be read; the text says why.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    check_level(filter)?;
    let filter = EnvFilter::try_new(directives(filter))
        .map_err(|error| format!("log level `{filter}` cannot be read: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was already set up");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_single_word_must_be_a_level() {
        for level in ["info", "WARN", "off", "bindd=debug", "info,hyper=warn", "bindd::http"] {
            assert_eq!(super::check_level(level), Ok(()), "{level}");
        }
        for wrong in ["loud", "verbose", "warnings"] {
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
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || writer.clone()).json().flatten_event(true);
        tracing::subscriber::with_default(builder.finish(), || tracing::info!(value = said, "said"));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(text.bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control()), "{text:?}");
        let json: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(json["value"], said, "unchanged, without additional quotes");
    }

    #[test]
    fn a_terminal_can_have_colours() {
        // Panics if the crate is built without colours, which runs without a terminal would not show.
        drop(tracing_subscriber::fmt().with_ansi(true));
    }
}
