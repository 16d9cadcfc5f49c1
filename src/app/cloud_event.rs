//! CloudEvents 1.0 in structured JSON mode, with the extensions `partitionkey`, `sequence` and, where it is true,
//! `damagedaggregate`:
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.

use super::base64::Base64;
use super::identifier::EventId;
use super::media_type;
use crate::domain::{BindingEvent, EventOrigin, RecordPosition, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

#[derive(Serialize)]
pub(super) struct CloudEvent<'e> {
    specversion: &'static str,
    id: EventId<'e>,
    /// The stream's ARN.
    source: &'e str,
    r#type: &'static str,
    /// The shard.
    subject: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Rfc3339>,
    #[serde(skip_serializing_if = "str::is_empty")]
    partitionkey: &'e str,
    sequence: Sequence<'e>,
    #[serde(skip_serializing_if = "is_false")]
    damagedaggregate: bool,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'e RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<Base64<'e>>,
}

impl<'e> CloudEvent<'e> {
    pub(super) fn new(event: &'e BindingEvent, data: &'e [u8], stream_arn: &'e str) -> Self {
        let (origin, json) = (&event.origin, media_type::json(data));
        Self {
            specversion: "1.0",
            id: EventId(origin),
            source: stream_arn,
            r#type: "com.amazonaws.kinesis.record",
            subject: origin.shard.as_str(),
            time: origin.arrival.and_then(Rfc3339::new),
            partitionkey: &origin.partition_key,
            sequence: Sequence(origin),
            damagedaggregate: origin.is_damaged_aggregate,
            datacontenttype: if json.is_some() { "application/json" } else { media_type::of_text_or_bytes(data) },
            data: json,
            data_base64: json.is_none().then_some(Base64(data)),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Ordered as text, as the extension requires: sequence numbers of a stream have the same length.
struct Sequence<'e>(&'e EventOrigin);

impl Serialize for Sequence<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RecordPosition { sequence, sub_sequence } = &self.0.position;
        match (sub_sequence, self.0.part) {
            (0, 0) => serializer.serialize_str(sequence.as_str()),
            (sub_sequence, 0) => serializer.collect_str(&format_args!("{sequence}:{sub_sequence:010}")),
            (sub_sequence, part) => serializer.collect_str(&format_args!("{sequence}:{sub_sequence:010}:{part:010}")),
        }
    }
}

/// A time in UTC from 1970 to 9999, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rfc3339 {
    days: u64,
    millis: u64,
}

const MILLIS_PER_DAY: u64 = 86_400_000;
/// From 1970-01-01 to 10000-01-01.
const MAX_DAYS: u64 = 2_932_897;

impl Rfc3339 {
    fn new(time: Timestamp) -> Option<Self> {
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
