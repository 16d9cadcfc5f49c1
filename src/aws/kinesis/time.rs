//! Times: the SDK's type and ours, and the clock of the service.

use crate::domain::Timestamp;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::sync::{Arc, OnceLock};

/// `None` outside of what 64 bits of milliseconds hold.
pub(super) fn timestamp(moment: &DateTime) -> Option<Timestamp> {
    moment.to_millis().ok().map(Timestamp::from_millis)
}

/// The `Date` of a response, so that an error of the local clock does not matter.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponseDate(Arc<OnceLock<DateTime>>);

impl ResponseDate {
    /// The local clock's time if the response had no date.
    pub(super) fn or_local(&self, client: &aws_sdk_kinesis::Client) -> Timestamp {
        let local = || client.config().time_source().map(|clock| DateTime::from(clock.now()));
        let date = self.0.get().copied().or_else(local);
        date.as_ref().and_then(timestamp).unwrap_or(Timestamp::from_millis(0))
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for ResponseDate {
    fn name(&self) -> &'static str {
        "response date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(date) = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok()) {
            self.0.get_or_init(|| date);
        }
        Ok(())
    }
}
