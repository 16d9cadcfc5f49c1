//! Stand-ins for what is around a sidecar.

mod app;

pub(crate) use app::{Behaviour, Event, RecordingApp};
