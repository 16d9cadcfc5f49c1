//! A local clock that is minutes off: the service refuses the signature, the log says why.
//!
//! The SDK learns the service's time from the `Date` of each answer and signs the next attempt by it. Added here: such a
//! refusal is distinguished from wrong keys, one more attempt is allowed, and the log says by how much the clock is off.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::Format;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// AWS allows five minutes. The SDK corrects its signatures from four minutes on.
const ALLOWED: Duration = Duration::from_secs(4 * 60);
/// How often the log says so.
const LOG_EVERY: Duration = Duration::from_secs(10 * 60);
/// Codes by which services refuse a signature, its time included.
const SIGNATURE_REFUSED: [&str; 6] = [
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "RequestInTheFuture",
    "AuthFailure",
];

/// When the log said so last. There is one clock in a process, whatever the number of its connections.
static LOGGED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// How far the local clock is from the service's, by the `Date` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockOffset {
    is_ahead: bool,
    by: Duration,
    /// How far the signature was off. The SDK may have signed by an offset that is no longer true.
    signed_by: Duration,
}

impl ClockOffset {
    fn of(signed_at: Option<&SignedAt>, date: &str, local: SystemTime) -> Option<Self> {
        let service = SystemTime::try_from(DateTime::from_str(date, Format::HttpDate).ok()?).ok()?;
        let signed = signed_at.and_then(SignedAt::time).unwrap_or(local);
        let signed_by = signed.duration_since(service).unwrap_or_else(|behind| behind.duration());
        Some(match local.duration_since(service) {
            Ok(by) => Self { is_ahead: true, by, signed_by },
            Err(behind) => Self { is_ahead: false, by: behind.duration(), signed_by },
        })
    }

    /// Of a refused answer that [`NoteClock`] has seen, if the time of the signature explains this code.
    pub(super) fn behind_refusal(response: &HttpResponse, code: &str) -> Option<Self> {
        let offset = *response.extension::<Self>()?;
        (offset.signed_by > ALLOWED && SIGNATURE_REFUSED.contains(&code)).then_some(offset)
    }

    /// One line in the log, not more often than each ten minutes, unless the clock is right again.
    pub(super) fn log(self) {
        if self.by <= ALLOWED {
            return;
        }
        let now = Instant::now();
        let mut logged_at = LOGGED_AT.lock().unwrap_or_else(PoisonError::into_inner);
        if is_due(*logged_at, now) {
            *logged_at = Some(now);
            let remedy = "synchronise this machine's clock (NTP); calls are signed by the service's time until then";
            tracing::warn!(offset = %self, remedy, "local clock differs from that of AWS");
        }
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.by.as_secs();
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours} h ")?;
        }
        write!(f, "{minutes} min {seconds} s {}", if self.is_ahead { "ahead" } else { "behind" })
    }
}

fn is_due(logged_at: Option<Instant>, now: Instant) -> bool {
    logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOG_EVERY)
}

/// The time of a signature in the form `20261127T001500Z`, which cannot be read back from a request that was sent.
#[derive(Debug, Clone, Copy)]
struct SignedAt([u8; 16]);

impl Storable for SignedAt {
    type Storer = StoreReplace<Self>;
}

impl SignedAt {
    fn time(&self) -> Option<SystemTime> {
        let text = str::from_utf8(&self.0).ok()?;
        let part = |from: usize, to: usize| text.get(from..to);
        let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
        let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
        SystemTime::try_from(DateTime::from_str(&text, Format::DateTime).ok()?).ok()
    }
}

/// Measures the offset at each answer that is no success.
#[derive(Debug)]
pub(super) struct NoteClock;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for NoteClock {
    fn name(&self) -> &'static str {
        "note the clock"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.request().headers().get("x-amz-date");
        if let Some(date) = date.and_then(|date| date.as_bytes().try_into().ok()) {
            config.interceptor_state().store_put(SignedAt(date));
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if !context.response().status().is_success()
            && let Some(clock) = components.time_source()
            && let Some(date) = context.response().headers().get("date")
            && let Some(offset) = ClockOffset::of(config.load::<SignedAt>(), date, clock.now())
        {
            context.response_mut().add_extension(offset);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;

    /// An answer dated 1994-11-06 08:49:37 to a request signed at `signed` seconds from then, by a clock that is off by
    /// `local`.
    fn answer(signed: i64, local: i64) -> HttpResponse {
        let mut answer = HttpResponse::new(403.try_into().unwrap(), SdkBody::empty());
        let at = |offset: i64| DateTime::from_secs(784_111_777 + offset);
        let signed = at(signed).fmt(Format::DateTime).unwrap().replace(['-', ':'], "");
        let signed = SignedAt(signed.as_bytes().try_into().unwrap());
        let local = SystemTime::try_from(at(local)).unwrap();
        answer.add_extension(ClockOffset::of(Some(&signed), "Sun, 06 Nov 1994 08:49:37 GMT", local).unwrap());
        answer
    }

    fn explained(offset: i64, code: &str) -> Option<String> {
        ClockOffset::behind_refusal(&answer(offset, offset), code).map(|offset| offset.to_string())
    }

    #[test]
    fn an_offset_of_minutes_explains_a_refused_signature_in_both_directions() {
        for code in SIGNATURE_REFUSED {
            assert_eq!(explained(432, code).as_deref(), Some("7 min 12 s ahead"), "{code}");
            assert_eq!(explained(-7_500, code).as_deref(), Some("2 h 5 min 0 s behind"), "{code}");
        }
    }

    #[test]
    fn a_small_offset_or_another_code_explains_nothing() {
        assert_eq!(explained(240, "InvalidSignatureException"), None);
        assert_eq!(explained(-240, "InvalidSignatureException"), None);
        assert_eq!(explained(432, "ExpiredTokenException"), None);
        assert_eq!(explained(432, "AccessDeniedException"), None);
    }

    #[test]
    fn a_signature_by_an_offset_that_was_corrected_meanwhile_is_explained() {
        let offset = ClockOffset::behind_refusal(&answer(432, 0), "InvalidSignatureException").unwrap();
        assert_eq!(offset.by, Duration::ZERO, "and there is nothing to log");
        assert_eq!(ClockOffset::behind_refusal(&answer(0, 432), "InvalidSignatureException"), None, "wrong keys");
    }

    #[test]
    fn an_answer_without_a_date_explains_nothing() {
        let answer = HttpResponse::new(403.try_into().unwrap(), SdkBody::empty());
        assert_eq!(ClockOffset::behind_refusal(&answer, "RequestTimeTooSkewed"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_says_so_once_in_ten_minutes() {
        let now = Instant::now();
        assert!(is_due(None, now));
        assert!(!is_due(Some(now), now + LOG_EVERY - Duration::from_secs(1)));
        assert!(is_due(Some(now), now + LOG_EVERY));
    }
}
