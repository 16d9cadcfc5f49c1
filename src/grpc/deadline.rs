//! `grpc-timeout`: how long the client waits for a response.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use http::{HeaderMap, HeaderName};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const MAX_DIGITS: usize = 8;

/// When the client gives up; `None` without a limit, and for one so long that the clock cannot express it.
///
/// # Errors
/// When the header is not a number and a unit.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Instant>, Status> {
    let timeout =
        timeout(headers).map_err(|text| Status::invalid_argument(format!("grpc-timeout {text:?} is not a timeout")))?;
    Ok(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
}

/// Resolves at the deadline; never without one.
pub(super) async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// `None` without a limit.
///
/// # Errors
/// When the header is not a number and a unit; with the value.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, String> {
    let Some(value) = headers.get(&TIMEOUT) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    parse(&text).map(Some).ok_or_else(|| text.into_owned())
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_units_are_read() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7_200)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
            ("3M", Duration::from_secs(180)),
            ("4S", Duration::from_secs(4)),
            ("1500m", Duration::from_millis(1_500)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
        ] {
            let headers = HeaderMap::from_iter([(TIMEOUT.clone(), text.parse().unwrap())]);
            assert_eq!(timeout(&headers), Ok(Some(expected)), "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S", "é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
