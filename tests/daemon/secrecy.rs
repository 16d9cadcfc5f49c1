//! Searches the log and the answers of all tests of this binary for the secret key of their components.

use std::io::{self, Write};
use std::sync::Once;
use tracing_subscriber::EnvFilter;

/// The secret key of the components that tests write.
pub(crate) const SECRET_KEY: &str = "secret-key-that-nobody-may-see";

static LOG: Once = Once::new();

/// From now on, the log of the daemons in this process is searched.
pub(crate) fn watch_log() {
    LOG.call_once(|| {
        let lines = tracing_subscriber::fmt().with_ansi(false).with_env_filter(EnvFilter::new("info,bindd=trace"));
        lines.with_writer(|| Searched).init();
    });
}

/// # Panics
/// When a text shows the secret key.
pub(crate) fn assert_hidden(text: &[u8], whose: &str) {
    assert!(!shows_secret(text), "{whose} shows a secret: {}", String::from_utf8_lossy(text));
}

fn shows_secret(text: &[u8]) -> bool {
    text.windows(SECRET_KEY.len()).any(|part| part == SECRET_KEY.as_bytes())
}

/// Takes one line with each write.
struct Searched;

impl Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if shows_secret(line) {
            // A panic would end only the task that logs.
            io::stderr().write_all(b"the log shows a secret: ")?;
            io::stderr().write_all(line)?;
            std::process::abort();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_secret_is_found_where_it_is_shown() {
    assert!(shows_secret(format!("key={SECRET_KEY}!").as_bytes()));
    assert!(!shows_secret(&SECRET_KEY.as_bytes()[1..]));
}
