//! Fakes of what a sidecar talks to.

mod app;

pub(crate) use app::{Behaviour, Event, RecordingApp};
