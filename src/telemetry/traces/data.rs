//! What an ended span holds.

use super::context::SpanContext;
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// What a span stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Internal,
    Client,
    Consumer,
}

/// An ended span.
#[derive(Debug, Clone)]
pub(super) struct SpanData {
    pub(super) context: SpanContext,
    pub(super) parent: Option<u64>,
    pub(super) state: String,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: SpanKind,
    pub(super) start: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) error: Option<String>,
}
