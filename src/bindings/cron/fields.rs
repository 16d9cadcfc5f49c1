//! The fields of a cron expression, as Dapr's parser (a copy of robfig/cron) reads them.

/// Which values a field may have, and their names.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) what: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

pub(super) const SECOND: Bounds = Bounds { what: "seconds", min: 0, max: 59, names: &[] };
pub(super) const MINUTE: Bounds = Bounds { what: "minutes", min: 0, max: 59, names: &[] };
pub(super) const HOUR: Bounds = Bounds { what: "hours", min: 0, max: 23, names: &[] };
pub(super) const DAY_OF_MONTH: Bounds = Bounds { what: "days of the month", min: 1, max: 31, names: &[] };
pub(super) const MONTH: Bounds = Bounds {
    what: "months",
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
pub(super) const DAY_OF_WEEK: Bounds =
    Bounds { what: "days of the week", min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// The values of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    bits: u64,
    /// Whether it was written with `*` or `?`. Days match by date and weekday together if one of the two fields was, else
    /// by either of them.
    pub(super) is_star: bool,
}

impl Field {
    pub(super) const fn has(self, value: u32) -> bool {
        value < 64 && self.bits >> value & 1 == 1
    }
}

/// Reads a list of ranges: `*`, `?`, `5`, `1-5`, `mon-fri`, `*/15`, `10/5`, `1-5/2`, separated by commas.
///
/// # Errors
/// With what is wrong, without a quote of the whole field.
pub(super) fn field(text: &str, bounds: &Bounds) -> Result<Field, String> {
    let mut field = Field { bits: 0, is_star: false };
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (bits, is_star) = range_bits(range, bounds).map_err(|problem| format!("{}: {problem}", bounds.what))?;
        field.bits |= bits;
        field.is_star |= is_star;
    }
    if field.bits == 0 { Err(format!("{}: the field is empty", bounds.what)) } else { Ok(field) }
}

fn range_bits(range: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let mut parts = range.split('/');
    let (span, step, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if more.is_some() {
        return Err("there is more than one `/`".to_owned());
    }
    let mut ends = span.split('-');
    let (low, high, more) = (ends.next().unwrap_or_default(), ends.next(), ends.next());
    if more.is_some() {
        return Err("there is more than one `-`".to_owned());
    }
    // As in Dapr, a range that begins with a star is the whole field.
    let is_star = matches!(low, "*" | "?");
    let (start, end) = match (is_star, high) {
        (true, _) => (bounds.min, bounds.max),
        (false, Some(high)) => (value(low, bounds)?, value(high, bounds)?),
        // `10/5` is `10-MAX/5`.
        (false, None) if step.is_some() => (value(low, bounds)?, bounds.max),
        (false, None) => (value(low, bounds)?, value(low, bounds)?),
    };
    let step = match step {
        None => 1,
        Some(step) => number(step)?,
    };
    if step == 0 {
        return Err("a step must be above zero".to_owned());
    }
    if start < bounds.min || end > bounds.max {
        return Err(format!("values are from {} to {}", bounds.min, bounds.max));
    }
    if start > end {
        return Err("a range must not end before it begins".to_owned());
    }
    let stride = usize::try_from(step).unwrap_or(usize::MAX);
    let bits = (start..=end).step_by(stride).fold(0, |bits, value| bits | 1_u64 << value);
    Ok((bits, is_star && step == 1))
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let named = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match named.and_then(|index| u32::try_from(index).ok()) {
        Some(index) => Ok(index + bounds.min),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a value is not a number or a known name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, bounds: &Bounds) -> Vec<u32> {
        let field = field(text, bounds).unwrap();
        (0..64).filter(|value| field.has(*value)).collect()
    }

    #[test]
    fn ranges_are_read_as_dapr_reads_them() {
        assert_eq!(values("5", &MINUTE), [5]);
        assert_eq!(values("5,7,", &MINUTE), [5, 7]);
        assert_eq!(values("*/15", &MINUTE), [0, 15, 30, 45]);
        assert_eq!(values("50/5", &MINUTE), [50, 55]);
        assert_eq!(values("1-7/3", &HOUR), [1, 4, 7]);
        assert_eq!(values("mon-FRI", &DAY_OF_WEEK), [1, 2, 3, 4, 5]);
        assert_eq!(values("feb,Dec", &MONTH), [2, 12]);
        assert_eq!(values("?", &MONTH).len(), 12);
        let stars = ["*", "?", "*/1", "*/2", "1-31", "3,*"].map(|text| field(text, &DAY_OF_MONTH).unwrap().is_star);
        assert_eq!(stars, [true, true, true, false, false, true]);
    }

    #[test]
    fn wrong_fields_say_what_is_wrong() {
        for (text, bounds, part) in [
            ("60", &MINUTE, "from 0 to 59"),
            ("0", &DAY_OF_MONTH, "from 1 to 31"),
            ("7", &DAY_OF_WEEK, "from 0 to 6"),
            ("5-1", &HOUR, "end before"),
            ("1-2-3", &HOUR, "more than one `-`"),
            ("1/2/3", &HOUR, "more than one `/`"),
            ("*/0", &HOUR, "above zero"),
            ("x", &HOUR, "not a number"),
            ("-1", &HOUR, "not a number"),
            (",", &HOUR, "empty"),
            ("99999999999", &HOUR, "not a number"),
        ] {
            let problem = field(text, bounds).unwrap_err();
            assert!(problem.contains(part) && problem.starts_with(bounds.what), "{text}: {problem}");
        }
    }
}
