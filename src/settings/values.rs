//! Parsers of the values of flags, with messages for users.

use crate::manifest::{InvalidDuration, parse_duration, parse_size};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Reads a Go duration such as `1m30s`, `500ms` or `0`. A negative one is read as zero, as every flag with a duration
/// treats them alike.
pub(super) fn go_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(duration) => Ok(duration),
        Err(InvalidDuration::Negative) => Ok(Duration::ZERO),
        Err(error @ (InvalidDuration::Form | InvalidDuration::Unit | InvalidDuration::TooLong)) => {
            Err(format!("`{text}`: {error}; write it like 500ms, 3s or 1m30s"))
        }
    }
}

/// Reads a Kubernetes quantity of bytes such as `4Mi`, `16k`, `1.5Gi`, or `-1` for those flags that give it a meaning.
pub(super) fn quantity(text: &str) -> Result<i64, String> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let bytes = parse_size(size).and_then(|bytes| i64::try_from(bytes).ok());
    bytes
        .map(|bytes| sign * bytes)
        .ok_or_else(|| format!("`{text}` is not a size; write it like 4Mi, 512Ki or 1000000"))
}

/// Reads the values that Go accepts for a boolean flag.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// Reads a listen address: an IP address, with or without brackets, or `localhost`.
pub(super) fn listen_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    bare.parse().map_err(|_| {
        format!("`{text}` is not an IP address; write 127.0.0.1 or ::1 for this machine only, 0.0.0.0 for all networks")
    })
}
