//! When to fire: what Dapr's cron parser accepts, with the same meaning.

use super::civil::{Civil, DAY};
use super::fields::{self, Field, field};
use super::zone::Zone;
use crate::manifest::{Environment, parse_duration};

/// As in Dapr, a schedule without a firing in so many years never fires.
const MAX_YEARS: i64 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Schedule {
    /// A number of seconds after the last firing.
    Every(i64),
    Calendar(Box<Calendar>),
}

/// Every second whose local time has these fields. So a local time that a change of the clock leaves out does not fire, and
/// one that comes twice fires twice, as in Dapr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Calendar {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
    zone: Zone,
}

impl Schedule {
    /// Reads five fields, or six that begin with the seconds; `@hourly` and the like; `@every 1h30m`; each of them after
    /// `CRON_TZ=ZONE` or `TZ=ZONE`.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn parse(text: &str, environment: &dyn Environment) -> Result<Self, String> {
        let named = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ="));
        let (zone, text) = match named {
            None => (Zone::local(environment), text),
            Some(rest) => {
                let (name, rest) = rest.split_once(' ').ok_or("a schedule must follow the time zone, after a space")?;
                (Zone::named(name, environment)?, rest)
            }
        };
        let text = text.trim();
        let text = match text {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            _ => text,
        };
        if let Some(every) = text.strip_prefix("@every ") {
            // As in Dapr: whole seconds, at least one.
            let interval = parse_duration(every).map_err(|error| error.to_string())?;
            return Ok(Self::Every(i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1)));
        }
        if text.starts_with('@') {
            return Err("this descriptor is not known".to_owned());
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [second, minute, hour, day, month, weekday] = match parts.as_slice() {
            [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday],
            [second, minute, hour, day, month, weekday] => [*second, minute, hour, day, month, weekday],
            others => return Err(format!("a schedule has 5 or 6 fields, but this one has {}", others.len())),
        };
        Ok(Self::Calendar(Box::new(Calendar {
            second: field(second, &fields::SECOND)?,
            minute: field(minute, &fields::MINUTE)?,
            hour: field(hour, &fields::HOUR)?,
            day: field(day, &fields::DAY_OF_MONTH)?,
            month: field(month, &fields::MONTH)?,
            weekday: field(weekday, &fields::DAY_OF_WEEK)?,
            zone,
        })))
    }

    /// The first firing after a moment, both in seconds since 1970; `None` if there is none within five years.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        match self {
            Self::Every(seconds) => after.checked_add(*seconds),
            Self::Calendar(calendar) => calendar.next(after),
        }
    }

    /// How many firings are after `from` and not after `to`; at most `max`.
    pub(super) fn count(&self, from: i64, to: i64, max: usize) -> usize {
        let firings = std::iter::successors(self.next(from), |firing| self.next(*firing));
        firings.take_while(|firing| *firing <= to).take(max).count()
    }

    pub(super) const fn is_every(&self) -> bool {
        matches!(self, Self::Every(_))
    }
}

impl Calendar {
    fn next(&self, after: i64) -> Option<i64> {
        let mut moment = after.checked_add(1)?;
        let last = after.checked_add(MAX_YEARS * 366 * DAY)?;
        while moment <= last {
            let (offset, change) = self.zone.at(moment);
            let Some(step) = self.step(Civil::from_local(moment + offset)) else { return Some(moment) };
            // Behind a change of the clock everything is looked at again.
            let wanted = moment + step;
            moment = change.map_or(wanted, |change| wanted.min(change));
        }
        None
    }

    /// `None` for a time that fires, else how many seconds are to be skipped at least.
    fn step(&self, local: Civil) -> Option<i64> {
        let second = local.second_of_day;
        let part = |value: i64| u32::try_from(value).unwrap_or_default();
        if !self.month.has(local.month) || !self.is_day(local) {
            return Some(DAY - second);
        }
        if !self.hour.has(part(second / 3_600)) {
            return Some(3_600 - second % 3_600);
        }
        if !self.minute.has(part(second / 60 % 60)) {
            return Some(60 - second % 60);
        }
        (!self.second.has(part(second % 60))).then_some(1)
    }

    fn is_day(&self, local: Civil) -> bool {
        let (day, weekday) = (self.day.has(local.day), self.weekday.has(local.weekday));
        if self.day.is_star || self.weekday.is_star { day && weekday } else { day || weekday }
    }
}

#[cfg(test)]
#[path = "tests/schedule.rs"]
mod tests;
