//! The cron component: it has an input side only.

use super::super::Context;
use super::super::sides::Sides;
use super::input::{Input, wall_clock};
use super::spec::Spec;
use crate::domain::{Binding, ComponentName};
use std::sync::{Arc, Mutex};

pub(crate) fn connect(name: ComponentName, spec: Spec, context: &Context) -> Arc<dyn Binding> {
    let input = Input {
        metrics: context.metrics.input(name.as_str()),
        component: name,
        schedule: spec.schedule,
        drain_limits: context.drain_limits,
        clock: wall_clock,
        stopped_at: Mutex::default(),
        failed: Mutex::default(),
    };
    Sides::of_input(input.component.clone(), input)
}
