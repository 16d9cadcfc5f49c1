//! A component whose file was checked, with the typed spec of its kind.

use super::{dynamodb, kinesis};
use crate::aws::{ConnectionSettings, StreamRef};
use crate::domain::{ComponentName, Direction};
use crate::manifest::{Content, Place, log_name};
use std::time::Duration;

/// What the file of a component says, by kind.
#[derive(Debug, Clone)]
pub enum Spec {
    /// `bindings.aws.kinesis`
    Kinesis(Box<kinesis::Spec>),
    /// `bindings.aws.dynamodb`
    DynamoDb(Box<dynamodb::Spec>),
}

/// A component whose file was checked.
#[derive(Debug, Clone)]
pub struct Checked {
    pub name: ComponentName,
    /// In lower case, such as `bindings.aws.kinesis`.
    pub type_name: &'static str,
    /// As written; may be empty.
    pub version: String,
    /// `ignoreErrors`: whether the daemon starts although this component cannot be connected.
    pub ignore_errors: bool,
    /// `initTimeout`: limit of connecting.
    pub init_timeout: Duration,
    pub place: Place,
    /// What the document says, to be compared with a later reading.
    pub content: Content,
    pub spec: Spec,
    /// Whether no fault was found. [`check`] returns only such components.
    pub(super) is_valid: bool,
}

impl Checked {
    /// Dapr's name of a component in logs and errors: `name (type/version)`.
    #[must_use]
    pub fn log_name(&self) -> String {
        log_name(self.name.as_str(), self.type_name, &self.version)
    }

    /// The lease table of the input, if the file names one or names the consumer.
    pub(super) fn lease_table(&self) -> Option<&str> {
        match &self.spec {
            Spec::Kinesis(spec) if spec.direction.has_input() => {
                spec.input.lease_table.as_deref().or(spec.input.consumer_name.as_deref())
            }
            Spec::Kinesis(_) | Spec::DynamoDb(_) => None,
        }
    }

    /// `deadLetterBinding`, which serves the sides that the file enables.
    pub(super) const fn dead_letter(&self) -> Option<&ComponentName> {
        match &self.spec {
            Spec::Kinesis(spec) => match &spec.input.delivery.dead_letter {
                Some(kinesis::DeadLetterTarget::Binding { target, .. }) => Some(target),
                Some(kinesis::DeadLetterTarget::Folder(_)) | None => spec.output.dead_letter.as_ref(),
            },
            Spec::DynamoDb(_) => None,
        }
    }

    /// Whether the input has no place for a record that is too large for its dead letter binding.
    pub(super) const fn has_no_oversize_folder(&self) -> bool {
        match &self.spec {
            Spec::Kinesis(spec) => {
                let target = &spec.input.delivery.dead_letter;
                spec.direction.has_input()
                    && matches!(target, Some(kinesis::DeadLetterTarget::Binding { oversize: None, .. }))
            }
            Spec::DynamoDb(_) => false,
        }
    }

    /// The largest record or item that the output writes, as a sentence says it.
    pub(super) fn write_limit(&self) -> String {
        match &self.spec {
            Spec::Kinesis(spec) => {
                format!("records of up to {} KiB (its `maxRecordSize`)", spec.output.producer.max_record_size >> 10)
            }
            Spec::DynamoDb(_) => "items of up to 400 KiB".to_owned(),
        }
    }

    /// The stream that the input reads.
    pub(super) const fn input_stream(&self) -> Option<&StreamRef> {
        match &self.spec {
            Spec::Kinesis(spec) if spec.direction.has_input() => Some(&spec.stream),
            Spec::Kinesis(_) | Spec::DynamoDb(_) => None,
        }
    }

    /// Whether the input may give records up.
    pub(super) const fn input_gives_up(&self) -> bool {
        match &self.spec {
            Spec::Kinesis(spec) => spec.input.delivery.gives_up(),
            Spec::DynamoDb(_) => false,
        }
    }

    /// The stream that the output writes to.
    pub(super) const fn output_stream(&self) -> Option<&StreamRef> {
        match &self.spec {
            Spec::Kinesis(spec) if spec.direction.has_output() => Some(&spec.stream),
            Spec::Kinesis(_) | Spec::DynamoDb(_) => None,
        }
    }

    #[must_use]
    pub const fn connection(&self) -> &ConnectionSettings {
        match &self.spec {
            Spec::Kinesis(spec) => &spec.connection,
            Spec::DynamoDb(spec) => &spec.connection,
        }
    }

    pub(crate) const fn connection_mut(&mut self) -> &mut ConnectionSettings {
        match &mut self.spec {
            Spec::Kinesis(spec) => &mut spec.connection,
            Spec::DynamoDb(spec) => &mut spec.connection,
        }
    }

    #[must_use]
    pub const fn direction(&self) -> Direction {
        match &self.spec {
            Spec::Kinesis(spec) => spec.direction,
            Spec::DynamoDb(spec) => spec.direction,
        }
    }

    /// `route`: the app's path for events, with its leading `/`.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        match &self.spec {
            Spec::Kinesis(spec) => spec.input.route.as_deref(),
            Spec::DynamoDb(_) => None,
        }
    }
}
