//! A component, made of its sides.

use crate::aws::Connection;
use crate::domain::{Binding, ComponentName, CredentialReport, InputBinding, OutputBinding};
use async_trait::async_trait;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Sides {
    pub(super) name: ComponentName,
    /// To AWS, if the component has one.
    pub(super) connection: Option<Connection>,
    pub(super) input: Option<Box<dyn InputBinding>>,
    pub(super) output: Option<Box<dyn OutputBinding>>,
}

impl Sides {
    pub(super) fn of_input(name: ComponentName, input: impl InputBinding + 'static) -> Arc<dyn Binding> {
        Arc::new(Self { name, connection: None, input: Some(Box::new(input)), output: None })
    }

    pub(super) fn of_output(name: ComponentName, output: impl OutputBinding + 'static) -> Arc<dyn Binding> {
        Arc::new(Self { name, connection: None, input: None, output: Some(Box::new(output)) })
    }
}

#[async_trait]
impl Binding for Sides {
    fn name(&self) -> &ComponentName {
        &self.name
    }

    fn input(&self) -> Option<&dyn InputBinding> {
        self.input.as_deref()
    }

    fn output(&self) -> Option<&dyn OutputBinding> {
        self.output.as_deref()
    }

    fn credentials(&self) -> Option<CredentialReport> {
        self.connection.as_ref().map(Connection::credentials)
    }

    async fn close(&self) {
        if let Some(input) = &self.input {
            input.close().await;
        }
        if let Some(output) = &self.output {
            output.close().await;
        }
    }
}
