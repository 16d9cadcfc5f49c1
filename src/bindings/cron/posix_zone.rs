//! The rule of a time zone for the years after its table, as in POSIX's `TZ`: `CET-1CEST,M3.5.0,M10.5.0/3`.
//! RFC 9636 section 3.3.1.

use super::civil::{Civil, DAY, days_since_1970};

/// Offsets east of UTC in seconds, and when they change each year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PosixZone {
    standard: i64,
    /// The offset of daylight saving time, its begin and its end.
    daylight: Option<(i64, Change, Change)>,
}

/// A moment of each year, in local time before the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    day: Day,
    /// Seconds after midnight, from −167 to 167 hours.
    time: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// `Jn`: day 1 to 365, without 29 February.
    Julian(u32),
    /// `n`: day 0 to 365.
    OfYear(u32),
    /// `Mm.w.d`: weekday of a week of a month; week 5 is the last.
    Weekday { month: u32, week: u32, weekday: u32 },
}

impl PosixZone {
    /// `None` if the text has another form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        name(&mut rest)?;
        let standard = -signed_time(&mut rest, 24)?;
        if rest.is_empty() {
            return Some(Self { standard, daylight: None });
        }
        name(&mut rest)?;
        let offset = if rest.starts_with(',') { standard + 3_600 } else { -signed_time(&mut rest, 24)? };
        let begin = change(&mut rest)?;
        let end = change(&mut rest)?;
        rest.is_empty().then_some(Self { standard, daylight: Some((offset, begin, end)) })
    }

    /// Seconds east of UTC at a moment, and the next moment at which that changes.
    pub(super) fn at(&self, moment: i64) -> (i64, Option<i64>) {
        let Some((daylight, begin, end)) = &self.daylight else { return (self.standard, None) };
        let year = Civil::from_local(moment + self.standard).year;
        // A change near New Year may fall into the year before or after in UTC.
        let mut changes: Vec<(i64, i64)> = (year - 1..=year + 1)
            .flat_map(|year| {
                let begins = (begin.local(year) - self.standard, *daylight);
                let ends = (end.local(year) - daylight, self.standard);
                [begins, ends]
            })
            .collect();
        changes.sort_unstable();
        let next = changes.iter().find(|(at, _)| *at > moment).map(|(at, _)| *at);
        let offset = changes.iter().rev().find(|(at, _)| *at <= moment).map_or(self.standard, |(_, offset)| *offset);
        (offset, next)
    }
}

impl Change {
    fn local(self, year: i64) -> i64 {
        let first = days_since_1970(year, 1, 1);
        let is_leap = days_since_1970(year + 1, 1, 1) - first == 366;
        let day = match self.day {
            Day::Julian(day) => first + i64::from(day) - 1 + i64::from(is_leap && day >= 60),
            Day::OfYear(day) => first + i64::from(day),
            Day::Weekday { month, week, weekday } => {
                let start = days_since_1970(year, month, 1);
                let first_weekday = i64::from(Civil::from_local(start * DAY).weekday);
                let day = start + (i64::from(weekday) - first_weekday).rem_euclid(7) + 7 * (i64::from(week) - 1);
                let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                if day < days_since_1970(next_year, next_month, 1) { day } else { day - 7 }
            }
        };
        day * DAY + self.time
    }
}

/// An abbreviation: letters, or anything in `<>`.
fn name(rest: &mut &str) -> Option<()> {
    let end = match rest.strip_prefix('<') {
        Some(quoted) => quoted.find('>')? + 2,
        None => rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()),
    };
    *rest = rest.get(end..).filter(|_| end >= 3)?;
    Some(())
}

fn number(rest: &mut &str, max: u32) -> Option<u32> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number = rest.get(..end)?.parse().ok().filter(|number| *number <= max)?;
    *rest = rest.get(end..)?;
    Some(number)
}

fn skip(rest: &mut &str, c: char) -> bool {
    let found = rest.strip_prefix(c);
    *rest = found.unwrap_or(rest);
    found.is_some()
}

/// `[+-]hh[:mm[:ss]]` in seconds.
fn signed_time(rest: &mut &str, max_hours: u32) -> Option<i64> {
    let sign = if skip(rest, '-') { -1 } else { 1 };
    skip(rest, '+');
    let mut seconds = i64::from(number(rest, max_hours)?) * 3_600;
    if skip(rest, ':') {
        seconds += i64::from(number(rest, 59)?) * 60;
        if skip(rest, ':') {
            seconds += i64::from(number(rest, 59)?);
        }
    }
    Some(sign * seconds)
}

/// `,M3.5.0/2`
fn change(rest: &mut &str) -> Option<Change> {
    if !skip(rest, ',') {
        return None;
    }
    let day = if skip(rest, 'J') {
        Day::Julian(number(rest, 365)?)
    } else if skip(rest, 'M') {
        let month = number(rest, 12).filter(|month| *month > 0)?;
        let week = skip(rest, '.').then(|| number(rest, 5)).flatten().filter(|week| *week > 0)?;
        let weekday = skip(rest, '.').then(|| number(rest, 6)).flatten()?;
        Day::Weekday { month, week, weekday }
    } else {
        Day::OfYear(number(rest, 365)?)
    };
    let time = if skip(rest, '/') { signed_time(rest, 167)? } else { 7_200 };
    Some(Change { day, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn utc(year: i64, month: u32, day: u32, hour: i64) -> i64 {
        days_since_1970(year, month, day) * DAY + hour * HOUR
    }

    #[test]
    fn offsets_change_when_the_rule_says_so() {
        let berlin = PosixZone::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let (spring, autumn) = (utc(2027, 3, 28, 1), utc(2027, 10, 31, 1));
        assert_eq!(berlin.at(spring - 1), (HOUR, Some(spring)));
        assert_eq!(berlin.at(spring), (2 * HOUR, Some(autumn)));
        assert_eq!(berlin.at(autumn), (HOUR, Some(utc(2028, 3, 26, 1))));
        // The south: daylight saving time is over New Year.
        let sydney = PosixZone::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        assert_eq!(sydney.at(utc(2027, 1, 1, 0)).0, 11 * HOUR);
        assert_eq!(sydney.at(utc(2027, 7, 1, 0)).0, 10 * HOUR);
        assert_eq!(PosixZone::parse("<+0530>-5:30").unwrap().at(0), (5 * HOUR + 1_800, None));
        let julian = PosixZone::parse("XXX3YYY,J60/0,300/0").unwrap();
        assert_eq!(julian.at(utc(2028, 3, 1, 3)).0, -2 * HOUR, "J60 is 1 March, also in a leap year");
        assert_eq!(julian.at(utc(2028, 3, 1, 3) - 1).0, -3 * HOUR);
    }

    #[test]
    fn other_texts_are_no_rules() {
        for text in ["", "C-1", "CET", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0", "CET-99", "CET-1 "]
        {
            assert_eq!(PosixZone::parse(text), None, "{text}");
        }
    }
}
