//! The fields that every AWS kind shares: connection, direction, route.

use crate::aws::{ConnectionSettings, StaticCredentials};
use crate::domain::Direction;
use crate::manifest::Reader;
use secrecy::ExposeSecret;
use std::num::NonZeroUsize;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads `region`, `endpoint`, the keys and the connection options. `of_arn` is the region of the ARN, where the
/// component names its stream or table by one.
pub(super) fn read_connection(reader: &mut Reader<'_>, of_arn: Option<(&'static str, &str)>) -> ConnectionSettings {
    let default = ConnectionSettings::default();
    let ceiling = reader.number("maxConnections", 0..=100_000).and_then(|most| usize::try_from(most).ok());
    let keep_alive = reader.duration("tcpKeepAlive", Duration::ZERO..=HOUR);
    ConnectionSettings {
        region: read_region(reader, of_arn),
        endpoint: reader.parsed("endpoint", endpoint),
        credentials: read_credentials(reader),
        // Dapr's habit: 0 stands for "no bound" and "off".
        max_connections: ceiling.and_then(NonZeroUsize::new),
        connect_timeout: reader.duration("connectTimeout", MILLISECOND..=5 * MINUTE).unwrap_or(default.connect_timeout),
        connection_idle_timeout: reader
            .duration("connectionIdleTimeout", MILLISECOND..=24 * HOUR)
            .unwrap_or(default.connection_idle_timeout),
        tcp_keep_alive: keep_alive.filter(|interval| !interval.is_zero()),
    }
}

fn read_region(reader: &mut Reader<'_>, of_arn: Option<(&'static str, &str)>) -> Option<String> {
    let written = reader.parsed("region", |text| {
        let is_word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let remedy = || "write its code, such as `eu-central-1`".to_owned();
        if is_word { Ok(text.to_owned()) } else { Err(("this is not the code of a region".to_owned(), remedy())) }
    });
    let Some((field, of_arn)) = of_arn else { return written };
    if written.as_ref().is_some_and(|region| region != of_arn) {
        let problem = format!("the region differs from `{of_arn}`, which the ARN in `{field}` names");
        reader.fault("region", problem, format!("write `{of_arn}`, or leave `region` out"));
    }
    written.or_else(|| Some(of_arn.to_owned()))
}

fn read_credentials(reader: &mut Reader<'_>) -> Option<StaticCredentials> {
    let access_key = reader.secret("accessKey");
    let secret_key = reader.secret("secretKey");
    let session_token = reader.secret("sessionToken");
    // A key whose reference leads nowhere counts as given: that fault is told already.
    match (reader.is_given("accessKey"), reader.is_given("secretKey")) {
        (true, false) => lone(reader, "secretKey", "accessKey"),
        (false, true) => lone(reader, "accessKey", "secretKey"),
        (false, false) if reader.is_given("sessionToken") => lone(reader, "accessKey", "sessionToken"),
        (true, true) | (false, false) => {}
    }
    let access_key = access_key?.expose_secret().to_owned();
    Some(StaticCredentials { access_key, secret_key: secret_key?, session_token })
}

fn lone(reader: &mut Reader<'_>, missing: &'static str, given: &'static str) {
    let remedy = format!("add `{missing}`, or leave all keys out to use AWS's default credentials");
    reader.fault(missing, format!("the field is missing, although `{given}` is given"), remedy);
}

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
