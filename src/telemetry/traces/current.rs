//! The span that the work of a task belongs to, for calls far below what started it.

use super::context::SpanContext;
use std::future::Future;

tokio::task_local! {
    static CURRENT: Option<SpanContext>;
}

/// Runs a future whose calls to AWS become children of this span. What it passes to other tasks does not.
pub async fn in_span<F: Future>(span: Option<SpanContext>, future: F) -> F::Output {
    CURRENT.scope(span, future).await
}

/// `None` outside of [`in_span`].
#[must_use]
pub fn current_span() -> Option<SpanContext> {
    CURRENT.try_with(|span| *span).ok().flatten()
}
