//! PartiQL statements on one table. One call each, never repeated here.

use super::items::{Consistency, Items, OnRefusal, units};
use super::refusal::{Modelled, Refused, refused, throttling_of};
use super::{Item, Value};
use aws_sdk_dynamodb::operation::execute_statement::ExecuteStatementError;
use aws_sdk_dynamodb::types::ThrottlingReason;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// A statement with what stands for its `?`.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text; never from a request.
    pub text: String,
    /// For each `?`, in order.
    pub parameters: Vec<Value>,
    /// Most rows that are looked at for one page; DynamoDB's own limit is 1 MB.
    pub limit: Option<i32>,
    /// Where to go on, as DynamoDB gave it.
    pub next_token: Option<String>,
    /// How fresh the rows are.
    pub consistency: Consistency,
    /// Whether a failed condition gives back the item.
    pub on_refusal: OnRefusal,
}

/// What a statement does, by its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementEffect {
    /// `SELECT`
    Reads,
    /// Anything else.
    Writes,
}

impl StatementEffect {
    /// The effect of a statement's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let first = text.split_whitespace().next().unwrap_or_default();
        if first.eq_ignore_ascii_case("select") { Self::Reads } else { Self::Writes }
    }
}

/// What a statement gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The rows of this page.
    pub items: Vec<Item>,
    /// Where to go on, if there is more.
    pub next_token: Option<String>,
    /// Capacity units, where they were asked for.
    pub capacity: Option<f64>,
}

impl Items {
    /// Executes a statement.
    ///
    /// # Errors
    /// As [`Items::put`].
    pub fn execute(&self, statement: Statement, until: Instant) -> BoxFuture<'_, Result<Rows, Refused>> {
        Box::pin(async move {
            let effect = StatementEffect::of(&statement.text);
            let _place = self.place(until).await?;
            let parameters = Some(statement.parameters).filter(|parameters| !parameters.is_empty());
            let is_strong = effect == StatementEffect::Reads && statement.consistency == Consistency::Strong;
            let call = self
                .client
                .execute_statement()
                .statement(statement.text)
                .set_parameters(parameters)
                .set_limit(statement.limit.filter(|_| effect == StatementEffect::Reads))
                .set_next_token(statement.next_token)
                .set_consistent_read(is_strong.then_some(true))
                .set_return_values_on_condition_check_failure(statement.on_refusal.word())
                .set_return_consumed_capacity(self.report());
            let sent = call.send().await;
            let answer = sent.map_err(|error| refused("DynamoDB: ExecuteStatement", &self.table, error))?;
            let capacity = units(answer.consumed_capacity.as_ref());
            Ok(Rows { items: answer.items.unwrap_or_default(), next_token: answer.next_token, capacity })
        })
    }
}

impl Modelled for ExecuteStatementError {
    fn throttling(&self) -> &[ThrottlingReason] {
        throttling_of!(self)
    }

    fn old_item(&self) -> Option<&Item> {
        match self {
            Self::ConditionalCheckFailedException(error) => error.item().filter(|item| !item.is_empty()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_select_reads() {
        for text in ["select * from x", "  SELECT\n* FROM x"] {
            assert_eq!(StatementEffect::of(text), StatementEffect::Reads);
        }
        for text in ["INSERT INTO x VALUE {}", "update x set a=1", "DELETE FROM x", "EXISTS(SELECT 1)", ""] {
            assert_eq!(StatementEffect::of(text), StatementEffect::Writes);
        }
    }
}
