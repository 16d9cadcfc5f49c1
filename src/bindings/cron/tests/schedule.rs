use super::super::civil::days_since_1970;
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn environment() -> HashMap<&'static str, &'static str> {
    HashMap::from([("TZ", "UTC")])
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, &environment()).unwrap()
}

fn utc((year, month, day): (i64, u32, u32), (hour, minute, second): (i64, i64, i64)) -> i64 {
    days_since_1970(year, month, day) * DAY + hour * 3_600 + minute * 60 + second
}

fn shown(moment: i64) -> String {
    let civil = Civil::from_local(moment);
    let second = civil.second_of_day;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}:{:02}", civil.year, civil.month, civil.day, second % 60)
}

/// The firings after Friday, 2026-11-27 13:17:09.
fn firings(text: &str, count: usize) -> Vec<String> {
    let schedule = schedule(text);
    let first = schedule.next(utc((2026, 11, 27), (13, 17, 9)));
    std::iter::successors(first, |last| schedule.next(*last)).take(count).map(shown).collect()
}

#[test]
fn expressions_fire_as_in_dapr() {
    for (text, expected) in [
        ("* * * * *", "2026-11-27 13:18:00"),
        ("*/5 * * * * *", "2026-11-27 13:17:10"),
        ("15 * * * * *", "2026-11-27 13:17:15"),
        ("0 30 * * * *", "2026-11-27 13:30:00"),
        ("30 2 * * *", "2026-11-28 02:30:00"),
        ("0 0 1 1 *", "2027-01-01 00:00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 9 * * mon-fri", "2026-11-30 09:00:00"),
        // Date or weekday, as neither is a star.
        ("0 0 1 * sat", "2026-11-28 00:00:00"),
        ("0 0 1,15 * ?", "2026-12-01 00:00:00"),
        ("@yearly", "2027-01-01 00:00:00"),
        ("@monthly", "2026-12-01 00:00:00"),
        ("@weekly", "2026-11-29 00:00:00"),
        ("@midnight", "2026-11-28 00:00:00"),
        ("@hourly", "2026-11-27 14:00:00"),
        ("@every 1h30m", "2026-11-27 14:47:09"),
        ("@every 500ms", "2026-11-27 13:17:10"),
        ("TZ=UTC 0 14 * * *", "2026-11-27 14:00:00"),
        ("CRON_TZ=UTC @daily", "2026-11-28 00:00:00"),
    ] {
        assert_eq!(firings(text, 1), [expected], "{text}");
    }
    assert_eq!(firings("0 0 31 * *", 3), ["2026-12-31 00:00:00", "2027-01-31 00:00:00", "2027-03-31 00:00:00"]);
    assert_eq!(schedule("0 0 30 2 *").next(0), None, "there is no 30 February");
}

#[test]
fn wrong_schedules_say_what_is_wrong() {
    for (text, part) in [
        ("", "5 or 6 fields, but this one has 0"),
        ("* * * *", "has 4"),
        ("* * * * * * *", "has 7"),
        ("@often", "descriptor"),
        ("@every", "descriptor"),
        ("@every soon", "not a duration"),
        ("@every -1s", "negative"),
        ("TZ=UTC", "must follow the time zone"),
        ("TZ=No/Where * * * * *", "database"),
        ("61 * * * *", "minutes"),
    ] {
        let problem = Schedule::parse(text, &environment()).unwrap_err();
        assert!(problem.contains(part), "{text}: {problem}");
    }
}

fn in_berlin(text: &str) -> Schedule {
    match schedule(text) {
        Schedule::Calendar(calendar) => {
            let zone = Zone::of_rule("CET-1CEST,M3.5.0,M10.5.0/3");
            Schedule::Calendar(Box::new(Calendar { zone, ..*calendar }))
        }
        every @ Schedule::Every(_) => every,
    }
}

#[test]
fn a_time_that_the_clock_leaves_out_does_not_fire_and_one_that_comes_twice_fires_twice() {
    // 2027-03-28: 02:00 becomes 03:00 at 01:00 UTC. 2027-10-31: 03:00 becomes 02:00 at 01:00 UTC.
    let nightly = in_berlin("30 2 * * *");
    let spring: Vec<_> = std::iter::successors(nightly.next(utc((2027, 3, 27), (0, 0, 0))), |last| nightly.next(*last))
        .take(2)
        .map(shown)
        .collect();
    assert_eq!(spring, ["2027-03-27 01:30:00", "2027-03-29 00:30:00"]);
    let autumn: Vec<_> =
        std::iter::successors(nightly.next(utc((2027, 10, 30), (12, 0, 0))), |last| nightly.next(*last))
            .take(3)
            .map(shown)
            .collect();
    assert_eq!(autumn, ["2027-10-31 00:30:00", "2027-10-31 01:30:00", "2027-11-01 01:30:00"]);
    let hourly = in_berlin("@hourly");
    let from = utc((2027, 3, 28), (0, 0, 0));
    assert_eq!(hourly.count(from, from + DAY, 100), 24, "hours are never lost");
}

#[test]
fn midnight_is_found_where_the_clock_leaves_it_out() {
    // Daylight saving time begins at midnight, so that day has no 00:00.
    let zone = Zone::of_rule("AAA3BBB,M11.1.0/0,M2.3.0/0");
    let Schedule::Calendar(calendar) = schedule("0 1 * * *") else { panic!("a calendar") };
    let daily = Calendar { zone, ..*calendar };
    let day = utc((2026, 11, 1), (3, 0, 0));
    assert_eq!(daily.next(day - 1).map(shown), Some("2026-11-01 03:00:00".to_owned()), "01:00 is the first second");
}

#[test]
fn firings_are_counted_up_to_a_limit() {
    let every = schedule("@every 10s");
    assert_eq!([every.count(0, 35, 100), every.count(0, 35, 2), every.count(0, 9, 100)], [3, 2, 0]);
}

proptest! {
    /// The search is compared with a look at every second.
    #[test]
    fn no_firing_is_skipped(
        start in 1_774_000_000_i64..1_806_000_000,
        second in 0_u32..60, minute in 0_u32..60, hours in 0_u32..24, step in 1_u32..5,
    ) {
        let schedule = in_berlin(&format!("{second},{minute} {minute}/{step} {hours}-23 * * *"));
        let Schedule::Calendar(calendar) = &schedule else { panic!("a calendar") };
        let is_firing = |moment: i64| calendar.step(Civil::from_local(moment + calendar.zone.at(moment).0)).is_none();
        let expected = (start + 1..start + 100_000).find(|moment| is_firing(*moment));
        prop_assert_eq!(schedule.next(start).filter(|next| *next < start + 100_000), expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-0-9a-z*?/,@ =]{0,40}") {
        if let Ok(schedule) = Schedule::parse(&text, &environment()) {
            prop_assert!(schedule.next(0).is_none_or(|next| next > 0));
        }
    }
}
