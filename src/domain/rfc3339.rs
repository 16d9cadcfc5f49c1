//! Times as RFC 3339 has them.

use super::Timestamp;
use serde::{Serialize, Serializer};
use std::fmt;

/// A time in UTC from 1970 to 9999, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339 {
    days: u64,
    millis: u64,
}

const MILLIS_PER_DAY: u64 = 86_400_000;
/// From 1970-01-01 to 10000-01-01.
const MAX_DAYS: u64 = 2_932_897;

impl Rfc3339 {
    /// `None` for other times.
    #[must_use]
    pub fn new(time: Timestamp) -> Option<Self> {
        let millis = u64::try_from(time.as_millis()).ok()?;
        let days = millis / MILLIS_PER_DAY;
        (days < MAX_DAYS).then_some(Self { days, millis: millis % MILLIS_PER_DAY })
    }

    /// Year, month and day of the proleptic Gregorian calendar, by eras of 400 years that begin on 1 March
    /// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    const fn date(self) -> (u64, u64, u64) {
        let shifted = self.days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let (seconds, millis) = (self.millis / 1_000, self.millis % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, SystemTime};

    fn shown(millis: i64) -> Option<String> {
        Rfc3339::new(Timestamp::from_millis(millis)).map(|time| time.to_string())
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(shown(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(shown(951_868_799_123).as_deref(), Some("2000-02-29T23:59:59.123Z"));
        assert_eq!(shown(1_700_000_000_007).as_deref(), Some("2023-11-14T22:13:20.007Z"));
        assert_eq!(shown(253_402_300_799_999).as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!((shown(253_402_300_800_000), shown(-1), shown(i64::MAX)), (None, None, None));
    }

    proptest! {
        #[test]
        fn days_are_those_of_the_http_date(seconds in 0_u64..253_402_300_800) {
            let http = httpdate::HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
            let time = shown(i64::try_from(seconds * 1_000).unwrap()).unwrap();
            // `Thu, 01 Jan 1970 00:00:00 GMT`
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = months.iter().position(|month| *month == &http[8..11]).unwrap() + 1;
            let expected = format!("{}-{month:02}-{}T{}.000Z", &http[12..16], &http[5..7], &http[17..25]);
            prop_assert_eq!(time, expected);
        }
    }
}
