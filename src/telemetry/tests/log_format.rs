use super::*;
use std::io;
use std::sync::{Arc, Mutex};
use tracing::Dispatch;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `log` writes.
fn lines(syntax: Syntax, app_id: &str, log: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let builder = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .fmt_fields(DaprFields(syntax))
        .event_format(DaprFormat::new(syntax, app_id));
    tracing::dispatcher::with_default(&Dispatch::new(builder.finish()), log);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn without_time(line: &str) -> &str {
    let rest = line.strip_prefix("time=\"").unwrap();
    let (time, rest) = rest.split_once("\" ").unwrap();
    assert!(time.len() > 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    rest
}

#[test]
fn a_line_of_text_is_as_daprd_writes_it() {
    let log = || {
        tracing::info!(target: "bindd::daemon::start", shards = 3, name = "a b", "said \"hi\"");
        tracing::warn!(target: "bindd::consumer::worker", is_new = true, "done");
        tracing::info!(target: "dapr.runtime.http-info", "HTTP API Called");
    };
    let lines = lines(Syntax::Text, "shop", log);
    let (host, version) = (host_name(), env!("CARGO_PKG_VERSION"));
    let common = |scope: &str| format!("app_id=shop instance={host} scope={scope} type=log ver={version}");
    assert_eq!(
        without_time(&lines[0]),
        format!("level=info msg=\"said \\\"hi\\\"\" {} shards=3 name=\"a b\"", common("dapr.runtime"))
    );
    assert_eq!(without_time(&lines[1]), format!("level=warning msg=done {} is_new=true", common("dapr.contrib")));
    assert!(lines[2].contains("scope=dapr.runtime.http-info "), "{}", lines[2]);
}

#[test]
fn a_line_of_json_has_each_name_once() {
    let log = || {
        let span = tracing::info_span!("input", component = "orders");
        span.in_scope(|| {
            tracing::error!(ver = 2, r#type = "x", ratio = 0.5, broken = f64::NAN, "failed");
            tracing::info!(component = "other", "own field");
        });
    };
    let lines = lines(Syntax::Json, "", log);
    let first: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    for (key, value) in [
        ("level", "error"),
        ("msg", "failed"),
        ("type", "log"),
        ("ver", env!("CARGO_PKG_VERSION")),
        ("fields.type", "x"),
        ("component", "orders"),
        ("broken", "NaN"),
    ] {
        assert_eq!(first[key], value, "{key} in {}", lines[0]);
    }
    assert_eq!((&first["fields.ver"], &first["ratio"]), (&2.into(), &0.5.into()));
    assert!(first.get("app_id").is_none(), "{}", lines[0]);
    assert_eq!(lines[1].matches("\"component\"").count(), 1, "{}", lines[1]);
    assert!(lines[1].contains("\"component\":\"other\""), "{}", lines[1]);
}

#[test]
fn a_value_cannot_forge_a_line() {
    let said = "a\nlevel=info msg=forged\u{1b}[2K\r\u{202e}\u{85}";
    for syntax in [Syntax::Text, Syntax::Json] {
        let lines = lines(syntax, "shop", || tracing::info!(value = said, "said {said}"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains(|letter: char| letter.is_ascii_control()), "{lines:?}");
        if syntax == Syntax::Json {
            let json: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
            assert_eq!(json["value"], said);
        } else {
            assert!(lines[0].contains(r"value=") && lines[0].contains(r"\u202e\u0085"), "{lines:?}");
        }
    }
}

#[test]
fn scopes_are_those_of_dapr() {
    for (target, expected) in [
        ("bindd::daemon::start", "dapr.runtime"),
        ("bindd", "dapr.runtime"),
        ("bindd::aws::client", "dapr.contrib"),
        ("bindd::http::routes", "dapr.runtime.http"),
        ("dapr.runtime.http-info", "dapr.runtime.http-info"),
        ("hyper::proto", "hyper::proto"),
    ] {
        assert_eq!(scope(target), expected, "{target}");
    }
}
