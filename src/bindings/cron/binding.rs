//! The cron component: it has an input side only.

use super::super::Context;
use super::input::{Input, wall_clock};
use super::spec::Spec;
use crate::domain::{Binding, ComponentName, InputBinding, OutputBinding};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};

#[derive(Debug)]
struct Cron {
    input: Input,
}

#[async_trait]
impl Binding for Cron {
    fn name(&self) -> &ComponentName {
        &self.input.component
    }

    fn input(&self) -> Option<&dyn InputBinding> {
        Some(&self.input)
    }

    fn output(&self) -> Option<&dyn OutputBinding> {
        None
    }

    async fn close(&self) {}
}

pub(crate) fn connect(name: ComponentName, spec: Spec, context: &Context) -> Arc<dyn Binding> {
    let input = Input {
        metrics: context.metrics.input(name.as_str()),
        component: name,
        schedule: spec.schedule,
        limits: context.limits.clone(),
        drain_limit: context.drain_limit,
        clock: wall_clock,
        stopped_at: Mutex::default(),
        failed: Mutex::default(),
    };
    Arc::new(Cron { input })
}
