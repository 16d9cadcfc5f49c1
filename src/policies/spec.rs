//! What one `Resiliency` document says, typed and checked. Pure.

use super::breaker::BreakerSpec;
use super::expression::Trip;
use super::fields::{decimal, duration, duration_of, mapping, text, whole};
use super::matching::StatusRanges;
use super::retry::{Exponential, Retry, Schedule};
use crate::manifest::ResiliencyDocument;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

const HTTP_CODES: RangeInclusive<u16> = 100..=599;
const GRPC_CODES: RangeInclusive<u16> = 0..=16;
const DEFAULT_DURATION: Duration = Duration::from_secs(5);
const MAX_MULTIPLIER: f64 = 1_000.0;

/// One document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResiliencySpec {
    /// `metadata.name`
    pub name: String,
    /// `metadata.namespace`; may be empty.
    pub namespace: String,
    /// `policies.timeouts`; `None` is no limit.
    pub timeouts: BTreeMap<String, Option<Duration>>,
    /// `policies.retries`
    pub retries: BTreeMap<String, Arc<Retry>>,
    /// `policies.circuitBreakers`
    pub breakers: BTreeMap<String, BreakerSpec>,
    /// `targets.components`
    pub components: BTreeMap<String, Targets>,
    /// What is read differently than a reader may expect: one sentence each, for the log.
    pub remarks: Vec<String>,
    /// Whether it has targets that are not components; they have no effect.
    pub has_other_targets: bool,
}

/// The policies of one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Deliveries of its events to the app.
    pub inbound: PolicyNames,
    /// Calls of its output.
    pub outbound: PolicyNames,
}

/// Names of policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyNames {
    pub timeout: Option<String>,
    pub retry: Option<String>,
    pub circuit_breaker: Option<String>,
}

impl ResiliencySpec {
    /// # Errors
    /// With what is wrong. One wrong policy makes the whole document unusable.
    pub fn read(document: &ResiliencyDocument) -> Result<Self, String> {
        let (policies, targets) = (mapping(&document.spec, "policies")?, mapping(&document.spec, "targets")?);
        let mut spec = Self { name: document.name.clone(), namespace: document.namespace.clone(), ..Self::default() };
        for (name, value) in mapping(policies, "timeouts")? {
            spec.timeouts.insert(name.clone(), timeout(name, value)?);
        }
        for (name, value) in mapping(policies, "retries")? {
            let retry = retry(value).map_err(|problem| format!("invalid retry configuration {name:?}: {problem}"))?;
            spec.retries.insert(name.clone(), Arc::new(retry));
        }
        for (name, value) in mapping(policies, "circuitBreakers")? {
            let breaker = breaker(value)
                .map_err(|problem| format!("invalid circuit breaker configuration {name:?}: {problem}"))?;
            spec.remark_unknown_names(name, &breaker.trip);
            spec.breakers.insert(name.clone(), breaker);
        }
        for (name, value) in mapping(targets, "components")? {
            spec.components.insert(name.clone(), component(name, value)?);
        }
        spec.has_other_targets = ["apps", "actors"].iter().any(|kind| targets.get(*kind).is_some_and(|t| !t.is_null()));
        Ok(spec)
    }

    fn remark_unknown_names(&mut self, name: &str, trip: &Trip) {
        let unknown = trip.unknown_names();
        if !unknown.is_empty() {
            self.remarks.push(format!(
                "the trip expression of circuit breaker {name:?} has unknown names ({}), so it may never open; use requests, \
                 totalSuccesses, totalFailures, consecutiveSuccesses or consecutiveFailures",
                unknown.join(", ")
            ));
        }
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| "it is not a mapping".to_owned())
}

/// As in Dapr, a timeout that is not above zero is none.
fn timeout(name: &str, value: &Value) -> Result<Option<Duration>, String> {
    let one = Map::from_iter([("timeout".to_owned(), value.clone())]);
    let written = text(&one, "timeout")?.unwrap_or_default();
    if written.strip_prefix('-').is_some_and(|rest| duration_of(rest).is_ok()) {
        return Ok(None);
    }
    let timeout = duration_of(&written).map_err(|problem| format!("timeout {name:?}: {problem}"))?;
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

fn retry(value: &Value) -> Result<Retry, String> {
    let map = object(value)?;
    let default = Exponential::default();
    let max_elapsed = duration(map, "maxElapsedTime", Duration::from_secs(15 * 60))?;
    let exponential = Exponential {
        initial: duration(map, "initialInterval", default.initial)?,
        randomization: decimal(map, "randomizationFactor", default.randomization, (0.0, 1.0))?,
        multiplier: decimal(map, "multiplier", default.multiplier, (1.0, MAX_MULTIPLIER))?,
        max: duration(map, "maxInterval", default.max)?,
        max_elapsed: Some(max_elapsed).filter(|time| !time.is_zero()),
    };
    let constant = duration(map, "duration", DEFAULT_DURATION)?;
    let schedule = match text(map, "policy")?.map(|word| word.to_lowercase()).as_deref() {
        None | Some("constant") => Schedule::Constant(constant),
        Some("exponential") => Schedule::Exponential(exponential),
        Some(other) => return Err(format!("unexpected back off policy type: {other}; write constant or exponential")),
    };
    // As in Dapr, every number below zero is no limit.
    let max_retries = whole(map, "maxRetries", i64::MIN)?.and_then(|max| u64::try_from(max).ok());
    let matching = mapping(map, "matching")?;
    let codes = |field: &str, valid: &RangeInclusive<u16>| {
        let written = text(matching, field)?.unwrap_or_default();
        StatusRanges::parse(&written, valid).map_err(|problem| format!("`matching.{field}`: {problem}"))
    };
    // Checked only: as in Dapr, no failure of a binding carries a code of gRPC.
    codes("gRPCStatusCodes", &GRPC_CODES)?;
    Ok(Retry {
        schedule,
        max_retries: max_retries.map(|max| u32::try_from(max).unwrap_or(u32::MAX)),
        http_statuses: codes("httpStatusCodes", &HTTP_CODES)?,
    })
}

fn breaker(value: &Value) -> Result<BreakerSpec, String> {
    let map = object(value)?;
    let default = BreakerSpec::default();
    let max_requests = whole(map, "maxRequests", 0)?.unwrap_or(0);
    let max_requests = u32::try_from(max_requests).map_err(|_| "`maxRequests` is too large".to_owned())?;
    let interval = duration(map, "interval", Duration::ZERO)?;
    let timeout = duration(map, "timeout", default.timeout)?;
    let trip = text(map, "trip")?.map_or_else(|| Ok(Trip::default()), |trip| Trip::parse(&trip));
    Ok(BreakerSpec {
        max_requests: max_requests.max(1),
        interval: Some(interval).filter(|interval| !interval.is_zero()),
        timeout: if timeout.is_zero() { default.timeout } else { timeout },
        trip: trip.map_err(|error| error.to_string())?,
    })
}

fn component(name: &str, value: &Value) -> Result<Targets, String> {
    let wrong = |problem: String| format!("target component {name:?}: {problem}");
    let map = if value.is_null() { &Map::new() } else { object(value).map_err(wrong)? };
    let side = |side: &str| {
        let map = mapping(map, side)?;
        Ok(PolicyNames {
            timeout: text(map, "timeout")?,
            retry: text(map, "retry")?,
            circuit_breaker: text(map, "circuitBreaker")?,
        })
    };
    Ok(Targets { inbound: side("inbound").map_err(wrong)?, outbound: side("outbound").map_err(wrong)? })
}

#[cfg(test)]
#[path = "tests/spec.rs"]
mod tests;
