//! The fields that every AWS kind shares: connection, direction, route.

use super::identity::{read_identity, read_keys};
use super::region::read_region;
use crate::aws::ConnectionSettings;
use crate::domain::Direction;
use crate::manifest::Reader;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads `region`, `endpoint`, the fields of the credentials and the connection options. `of_arn` is the region of the
/// ARN, where the component names its stream or table by one.
pub(super) fn read_connection(reader: &mut Reader<'_>, of_arn: Option<(&'static str, &str)>) -> ConnectionSettings {
    let default = ConnectionSettings::default();
    let ceiling = reader.number("maxConnections", 0..=100_000).and_then(|most| usize::try_from(most).ok());
    let keep_alive = reader.duration("tcpKeepAlive", Duration::ZERO..=HOUR);
    let region = read_region(reader, of_arn);
    let credentials = read_keys(reader);
    let identity = read_identity(reader, region.as_deref());
    ConnectionSettings {
        endpoint: read_endpoint(reader, "endpoint"),
        region,
        credentials,
        identity,
        use_fips: reader.boolean("useFips").unwrap_or(false),
        use_dual_stack: reader.boolean("useDualStack").unwrap_or(false),
        fail_fast: reader.boolean("failFast").unwrap_or(false),
        // Dapr's habit: 0 stands for "no bound" and "off".
        max_connections: ceiling.and_then(NonZeroUsize::new),
        connect_timeout: reader.duration("connectTimeout", MILLISECOND..=5 * MINUTE).unwrap_or(default.connect_timeout),
        connection_idle_timeout: reader
            .duration("connectionIdleTimeout", MILLISECOND..=24 * HOUR)
            .unwrap_or(default.connection_idle_timeout),
        tcp_keep_alive: keep_alive.filter(|interval| !interval.is_zero()),
        ca_bundle: reader.text("caBundle").map(PathBuf::from),
        metrics: None,
    }
}

/// The spelling that the file uses of a field with two names; both at once are a fault.
pub(super) fn spelled(reader: &mut Reader<'_>, name: &'static str, alias: &'static str) -> &'static str {
    // Asked for, so that an empty one does not look unknown.
    let (_, _) = (reader.text(name), reader.text(alias));
    match (reader.is_given(name), reader.is_given(alias)) {
        (true, true) => {
            reader.fault(alias, format!("`{name}` is given too, and means the same"), "leave one of them out");
            name
        }
        (false, true) => alias,
        (true | false, false) => name,
    }
}

/// A URL of a service. White space around it is removed with a notice.
pub(super) fn read_endpoint(reader: &mut Reader<'_>, field: &'static str) -> Option<String> {
    let mut is_padded = false;
    let parsed = reader.parsed(field, |text| {
        is_padded = text.trim().len() < text.len();
        endpoint(text.trim())
    });
    if is_padded {
        reader.notice(field, PADDED);
    }
    parsed
}

/// A text. White space around it is removed with a notice; without anything else it counts as absent.
pub(super) fn read_trimmed(reader: &mut Reader<'_>, field: &'static str) -> Option<String> {
    let text = reader.text(field)?;
    let trimmed = text.trim();
    if trimmed.len() < text.len() {
        reader.notice(field, PADDED);
    }
    Some(trimmed.to_owned()).filter(|text| !text.is_empty())
}

/// What a notice says of a value that was trimmed.
pub(super) const PADDED: &str = "white space around the value was removed; correct it at its source";

fn endpoint(text: &str) -> Result<String, (String, String)> {
    let wrong = |problem: &str| (problem.to_owned(), "write one such as `http://localhost:4566`".to_owned());
    let uri: http::Uri = text.parse().map_err(|_| wrong("this is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(wrong("this is not an http or https URL"));
    }
    if uri.query().is_some() {
        return Err(wrong("an endpoint takes no query"));
    }
    Ok(text.to_owned())
}

/// `direction`: `input`, `output`, or both with a comma; case and spaces are not regarded, as in Dapr.
pub(super) fn read_direction(reader: &mut Reader<'_>) -> Direction {
    let parsed = reader.parsed("direction", |text| {
        let (mut input, mut output) = (false, false);
        for word in text.split(',') {
            match word.trim().to_lowercase().as_str() {
                "input" => input = true,
                "output" => output = true,
                other => {
                    let remedy = crate::manifest::nearest(other, ["input", "output"]);
                    let remedy = remedy.map(|word| format!("did you mean `{word}`?"));
                    let all = || "write `input`, `output` or `input, output`".to_owned();
                    return Err(("this is not a direction".to_owned(), remedy.unwrap_or_else(all)));
                }
            }
        }
        Ok(match (input, output) {
            (true, true) => Direction::Both,
            (true, false) => Direction::Input,
            (false, true) => Direction::Output,
            (false, false) => Direction::Unstated,
        })
    });
    parsed.unwrap_or_default()
}

/// `route`: the path at which the app takes events, given its leading `/`.
pub(super) fn read_route(reader: &mut Reader<'_>) -> Option<String> {
    reader.parsed("route", |text| {
        let path = format!("/{}", text.trim_start_matches('/'));
        let is_path = path.parse::<http::uri::PathAndQuery>().is_ok_and(|parsed| parsed.query().is_none());
        if is_path && !path.contains('#') {
            Ok(path)
        } else {
            Err(("this is not a path".to_owned(), "write one such as `/orders`".to_owned()))
        }
    })
}
