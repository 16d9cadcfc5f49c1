//! Durations as Go prints them, in log lines and metadata that tools of Dapr read.

use std::fmt;
use std::time::Duration;

/// Displays a duration as Go's `%v` does: `5s`, `1m30s`, `250ms`, `1.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => {
                let seconds = self.0.as_secs();
                let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if seconds >= 60 {
                    write!(f, "{minutes}m")?;
                }
                write_decimal(f, u128::from(seconds % 60) * 1_000_000_000 + nanos % 1_000_000_000, 1_000_000_000, "s")
            }
        }
    }
}

/// Writes `value / unit` without zeros at the end of the fraction.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u128, unit: u128, name: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    let rest = value % unit;
    if rest > 0 {
        let width = unit.ilog10() as usize;
        let fraction = format!("{rest:0width$}");
        write!(f, ".{}", fraction.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse_duration;
    use proptest::prelude::*;

    #[test]
    fn durations_are_shown_as_in_go() {
        for text in [
            "0s",
            "1ns",
            "1.5µs",
            "250ms",
            "2.000001s",
            "1m0s",
            "1m30.5s",
            "1h0m0s",
            "26h1m0.000000001s",
            "999.999999ms",
        ] {
            assert_eq!(GoDuration(parse_duration(text).unwrap()).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_shown_duration_is_read_back(nanos in 0_u64..i64::MAX as u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&GoDuration(duration).to_string()), Ok(duration));
        }
    }
}
