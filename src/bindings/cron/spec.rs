//! The fields of a `bindings.cron` file.

use super::super::fields::{read_direction, read_route};
use super::schedule::Schedule;
use crate::domain::Direction;
use crate::manifest::{Document, Faults, Notice, ProcessEnvironment, Reader};

#[derive(Debug, Clone)]
pub struct Spec {
    /// `schedule`
    pub(super) schedule: Schedule,
    /// `direction`; `output` alone is a fault, as this kind has an input side only.
    pub direction: Direction,
    /// `route`: the app's path for events.
    pub route: Option<String>,
}

impl Spec {
    /// Checks a document and reports all faults. A spec with faults must not be connected.
    #[must_use]
    pub fn check(document: &Document) -> (Self, Faults, Vec<Notice>) {
        let mut reader = Reader::new(document);
        let spec = Self::read(&mut reader);
        let (faults, notices) = reader.finish();
        (spec, faults, notices)
    }

    /// Reads every field of the kind; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.required_text("schedule");
        let parse = |text: &str| {
            let remedy = "write one such as `*/15 * * * *`, `@every 15m` or `CRON_TZ=Europe/Berlin 30 2 * * *`";
            Schedule::parse(text, &ProcessEnvironment).map_err(|problem| (problem, remedy.to_owned()))
        };
        let schedule = reader.parsed("schedule", parse);
        // From 2025 on: whether it fires in the next years does not depend on the day of the check.
        if schedule.as_ref().is_some_and(|schedule| schedule.next(1_735_689_600).is_none()) {
            reader.notice("schedule", "no day of the calendar matches, so it never fires");
        }
        let direction = read_direction(reader);
        if direction == Direction::Output {
            reader.fault("direction", "a cron component has no output", "write `input`, or leave it out");
        }
        // A missing or wrong schedule is already a fault.
        let schedule = schedule.unwrap_or(Schedule::Every(i64::MAX));
        Self { schedule, direction, route: read_route(reader) }
    }
}
