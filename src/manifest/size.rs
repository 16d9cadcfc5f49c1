//! Sizes in bytes as Kubernetes quantities, as in Dapr's files: `5Mi`, `1.5Gi`, `512k`, `1048576`.

/// Bytes by unit, longer names first.
const UNITS: [(&str, u64); 11] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("K", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("B", 1),
    ("", 1),
];
/// Further decimal places are below one byte in every unit.
const MAX_DECIMAL_PLACES: usize = 12;

/// The bytes of a quantity; a fraction of a byte is rounded up, as in Kubernetes. `None` when the text is not a quantity,
/// is negative or exceeds a `u64`.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number || (whole.is_empty() && fraction.is_empty()) || fraction.len() > MAX_DECIMAL_PLACES {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let bytes = whole.checked_mul(unit.into())?.checked_add((part * u128::from(unit)).div_ceil(scale))?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_become_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("5Mi", 5 << 20),
            ("1.5Gi", 3 << 29),
            ("512k", 512_000),
            ("2K", 2_000),
            (".5Ki", 512),
            ("0.0001Ki", 1),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "Mi", "-1", "+1", "1 Mi", "1MiB", "1e3", "1.2.3", "one", "99999999999999999999Ti", "."] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_number_of_mebibytes_is_exact(count in 0_u64..1 << 40) {
            prop_assert_eq!(parse_size(&format!("{count}Mi")), Some(count << 20));
        }

        #[test]
        fn nothing_but_a_number_is_a_size(text in ".{0,60}") {
            prop_assert!(parse_size(&text).is_none_or(|_| text.starts_with(|first: char| first == '.' || first.is_ascii_digit())));
        }
    }
}
