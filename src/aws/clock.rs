//! Clock skew: if the local clock is minutes off, AWS refuses the signature.
//!
//! The SDK learns the service's time from the `Date` of each response and signs the next attempt by it. Added here: such a
//! refusal is distinguished from wrong keys, one more attempt is allowed, and the log says by how much the clock is off.

use super::error_code::error_code;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::Format;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// AWS allows five minutes. The SDK corrects its signatures from four minutes on.
const MAX_SKEW: Duration = Duration::from_secs(4 * 60);
/// At most one log line in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Codes by which services refuse a signature, its time included.
const SIGNATURE_CODES: [&str; 6] = [
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "RequestInTheFuture",
    "AuthFailure",
];

/// The time of the last log line. All connections of a process have the same clock.
static LOGGED_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// How far the local clock is from the service's, by the `Date` of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockSkew {
    is_ahead: bool,
    by: Duration,
    /// How far the time of the signature was off. The SDK may have signed by an old correction.
    signature_by: Duration,
}

impl ClockSkew {
    fn new(signed_at: Option<&SignedAt>, date: &str, local: SystemTime) -> Option<Self> {
        let service = SystemTime::try_from(DateTime::from_str(date, Format::HttpDate).ok()?).ok()?;
        let signed = signed_at.and_then(SignedAt::time).unwrap_or(local);
        let signature_by = signed.duration_since(service).unwrap_or_else(|behind| behind.duration());
        Some(match local.duration_since(service) {
            Ok(by) => Self { is_ahead: true, by, signature_by },
            Err(behind) => Self { is_ahead: false, by: behind.duration(), signature_by },
        })
    }

    /// The skew of a response that [`ClockSkewInterceptor`] has seen, if it explains this error code.
    pub(super) fn explaining(response: &HttpResponse, code: &str) -> Option<Self> {
        let skew = *response.extension::<Self>()?;
        (skew.signature_by > MAX_SKEW && SIGNATURE_CODES.contains(&code)).then_some(skew)
    }

    /// Logs at most one line in ten minutes, and none once the clock is right again.
    pub(super) fn log(self) {
        if self.by <= MAX_SKEW {
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

impl fmt::Display for ClockSkew {
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
    logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL)
}

/// The time of a signature in the form `20261127T001500Z`. Kept, because a request that was sent cannot be read any more.
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

/// Attaches the skew to each response that is not a success.
#[derive(Debug)]
pub(super) struct ClockSkewInterceptor;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for ClockSkewInterceptor {
    fn name(&self) -> &'static str {
        "clock skew"
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
            && let Some(skew) = ClockSkew::new(config.load::<SignedAt>(), date, clock.now())
        {
            context.response_mut().add_extension(skew);
        }
        Ok(())
    }
}

/// Logs the clock skew and leaves the retry to the SDK.
#[derive(Debug)]
pub(super) struct LogClockSkew;

impl ClassifyRetry for LogClockSkew {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response().filter(|response| response.status().is_client_error());
        let skew = response.and_then(|response| ClockSkew::explaining(response, &error_code(response)?));
        skew.into_iter().for_each(ClockSkew::log);
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "log the clock skew"
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
        answer.add_extension(ClockSkew::new(Some(&signed), "Sun, 06 Nov 1994 08:49:37 GMT", local).unwrap());
        answer
    }

    fn explained(offset: i64, code: &str) -> Option<String> {
        ClockSkew::explaining(&answer(offset, offset), code).map(|offset| offset.to_string())
    }

    #[test]
    fn an_offset_of_minutes_explains_a_refused_signature_in_both_directions() {
        for code in SIGNATURE_CODES {
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
        let offset = ClockSkew::explaining(&answer(432, 0), "InvalidSignatureException").unwrap();
        assert_eq!(offset.by, Duration::ZERO, "and there is nothing to log");
        assert_eq!(ClockSkew::explaining(&answer(0, 432), "InvalidSignatureException"), None, "wrong keys");
    }

    #[test]
    fn an_answer_without_a_date_explains_nothing() {
        let answer = HttpResponse::new(403.try_into().unwrap(), SdkBody::empty());
        assert_eq!(ClockSkew::explaining(&answer, "RequestTimeTooSkewed"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_skew_is_logged_once_in_ten_minutes() {
        let now = Instant::now();
        assert!(is_due(None, now));
        assert!(!is_due(Some(now), now + LOG_INTERVAL - Duration::from_secs(1)));
        assert!(is_due(Some(now), now + LOG_INTERVAL));
    }
}
