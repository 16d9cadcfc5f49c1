//! Items out: the JSON object of a request becomes an item, one `PutItem`, one true answer.

use super::super::attempts::Attempts;
use crate::aws::dynamodb::{Items, item_from_json};
use crate::domain::{BindingError, InvokeRequest, InvokeResponse, OutputBinding};
use crate::resilience::Backoff;
use async_trait::async_trait;

/// Waits between attempts of one request.
pub(super) const BACKOFF: Backoff = Backoff::millis(25, 2_000);

/// The output side of a DynamoDB component.
#[derive(Debug)]
pub(super) struct Output {
    /// Makes single attempts.
    pub(super) items: Items,
    /// Repeats them.
    pub(super) attempts: Attempts,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &'static [&'static str] {
        &["create"]
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        let item = item_from_json(&request.data)?;
        let outcome = self.attempts.run(|| self.items.put(item.clone())).await;
        outcome.map(|_| InvokeResponse::default())
    }
}
