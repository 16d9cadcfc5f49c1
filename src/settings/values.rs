//! Values in the spellings that Go programs accept.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Reads a Go duration such as `1m30s`, `500ms` or `0`. Negative ones come back as zero: every flag that takes a
/// duration treats both alike.
pub(super) fn go_duration(text: &str) -> Result<Duration, String> {
    let problem = || format!("`{text}` is not a duration; write it like 500ms, 3s or 1m30s");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(problem)?;
        let amount: f64 = rest[..digits].parse().map_err(|_| problem())?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |at| digits + at);
        seconds += amount * unit_seconds(&rest[digits..unit_end]).ok_or_else(problem)?;
        rest = &rest[unit_end..];
    }
    if text.trim_start_matches(['-', '+']).is_empty() {
        return Err(problem());
    }
    if negative { Ok(Duration::ZERO) } else { Duration::try_from_secs_f64(seconds).map_err(|_| problem()) }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

/// Reads a Kubernetes quantity of bytes such as `4Mi`, `16k`, `1.5Gi` or `-1`.
pub(super) fn quantity(text: &str) -> Result<i64, String> {
    let problem = || format!("`{text}` is not a size; write it like 4Mi, 512Ki or 1000000");
    let suffixes: [(&str, f64); 11] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("k", 1e3),
        ("K", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("B", 1.0),
        ("", 1.0),
    ];
    let (number, factor) = suffixes
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
        .ok_or_else(problem)?;
    let well_formed = number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let bytes: f64 = number.parse::<f64>().ok().filter(|n| well_formed && n.is_finite()).ok_or_else(problem)? * factor;
    if bytes.abs() > 1e15 {
        return Err(problem());
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded to 1e15 above; a part of a byte is dropped")]
    let whole = bytes.ceil() as i64;
    Ok(whole)
}

/// Reads the words that Go's flags take for a switch.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// Reads one listen address: an IP address, in brackets or not, or `localhost`.
pub(super) fn listen_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    bare.parse().map_err(|_| {
        format!("`{text}` is not an IP address; write 127.0.0.1 or ::1 for this machine only, 0.0.0.0 for all networks")
    })
}
