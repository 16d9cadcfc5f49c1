//! Days and times of the proleptic Gregorian calendar. Algorithms: <https://howardhinnant.github.io/date_algorithms.html>.

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// A local date and time, without its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u32,
    /// 1 to 31.
    pub(super) day: u32,
    /// 0 is Sunday.
    pub(super) weekday: u32,
    pub(super) second_of_day: i64,
}

impl Civil {
    /// Of seconds since 1970 in local time.
    pub(super) fn from_local(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY);
        let (year, month, day) = date(days);
        // 1970-01-01 was a Thursday.
        let weekday = u32::try_from((days + 4).rem_euclid(7)).unwrap_or_default();
        Self { year, month, day, weekday, second_of_day: seconds.rem_euclid(DAY) }
    }
}

/// Year, month and day of a number of days since 1970.
fn date(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

/// Days since 1970 of a date.
pub(super) fn days_since_1970(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days_are_found() {
        for (days, date, weekday) in
            [(0, (1970, 1, 1), 4), (-1, (1969, 12, 31), 3), (11_016, (2000, 2, 29), 2), (20_784, (2026, 11, 27), 5)]
        {
            let civil = Civil::from_local(days * DAY + 7);
            assert_eq!((civil.year, civil.month, civil.day), date);
            assert_eq!((civil.weekday, civil.second_of_day), (weekday, 7));
        }
    }

    proptest! {
        #[test]
        fn dates_and_days_are_inverse(days in -1_000_000_i64..1_000_000) {
            let (year, month, day) = date(days);
            prop_assert_eq!(days_since_1970(year, month, day), days);
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }
    }
}
