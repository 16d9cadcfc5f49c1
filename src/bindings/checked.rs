//! A component whose file was checked, with the typed spec of its kind.

use super::pluggable::Plug;
use super::shaping::OnError;
use super::{cron, dynamodb, http, kinesis, localstorage, pluggable};
use crate::aws::{ConnectionSettings, StreamRef};
use crate::domain::{ComponentName, Direction};
use crate::manifest::{Content, Place, RawDocument, log_name};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// What the file of a component says, by kind.
#[derive(Debug, Clone)]
pub enum Spec {
    /// `bindings.aws.kinesis`
    Kinesis(Box<kinesis::Spec>),
    /// `bindings.aws.dynamodb`
    DynamoDb(Box<dynamodb::Spec>),
    /// `bindings.cron`
    Cron(Box<cron::Spec>),
    /// `bindings.http`
    Http(Box<http::Spec>),
    /// `bindings.localstorage`
    LocalStorage(Box<localstorage::Spec>),
    /// A type that a program at a Unix socket serves.
    Pluggable(Box<pluggable::Spec>),
}

impl Spec {
    /// The stream's component, if it is one.
    const fn kinesis(&self) -> Option<&kinesis::Spec> {
        match self {
            Self::Kinesis(spec) => Some(spec),
            Self::DynamoDb(_) | Self::Cron(_) | Self::Http(_) | Self::LocalStorage(_) | Self::Pluggable(_) => None,
        }
    }
}

/// A component whose file was checked.
#[derive(Debug, Clone)]
pub struct Checked {
    pub name: ComponentName,
    /// In lower case, such as `bindings.aws.kinesis`.
    pub type_name: Cow<'static, str>,
    /// As written; may be empty.
    pub version: String,
    /// `ignoreErrors`: whether the daemon starts although this component cannot be connected.
    pub ignore_errors: bool,
    /// `disabled`: whether the component is known and does not run.
    pub disabled: bool,
    /// `initTimeout`: limit of connecting.
    pub init_timeout: Duration,
    pub place: Place,
    /// The document as it was written.
    pub source: Arc<RawDocument>,
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
        log_name(self.name.as_str(), &self.type_name, &self.version)
    }

    /// The lease table of the input, if the file names one or names the consumer.
    pub(super) fn lease_table(&self) -> Option<&str> {
        let spec = self.spec.kinesis().filter(|spec| spec.direction.has_input())?;
        spec.input.lease_table.as_deref().or(spec.input.consumer_name.as_deref())
    }

    /// `deadLetterBinding`, which serves the sides that the file enables.
    pub(super) fn dead_letter(&self) -> Option<&ComponentName> {
        let spec = self.spec.kinesis()?;
        match &spec.input.delivery.dead_letter {
            Some(kinesis::DeadLetterTarget::Binding { target, .. }) => Some(target),
            Some(kinesis::DeadLetterTarget::Folder(_)) | None => spec.output.dead_letter.as_ref(),
        }
    }

    /// Whether the output may leave a record out.
    pub(super) fn may_leave_out(&self) -> bool {
        match &self.spec {
            Spec::Kinesis(spec) => spec.shaping.is_some(),
            Spec::DynamoDb(spec) => spec.shaping.is_some(),
            Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => false,
        }
    }

    /// Whether the input has no place for a record that is too large for its dead letter binding.
    pub(super) fn has_no_oversize_folder(&self) -> bool {
        self.spec.kinesis().is_some_and(|spec| {
            let target = &spec.input.delivery.dead_letter;
            spec.direction.has_input()
                && matches!(target, Some(kinesis::DeadLetterTarget::Binding { oversize: None, .. }))
        })
    }

    /// The largest record or item that the output writes, as a sentence says it; `None` if it has no limit that matters.
    pub(super) fn write_limit(&self) -> Option<String> {
        match &self.spec {
            Spec::Kinesis(spec) => Some(format!(
                "records of up to {} KiB (its `maxRecordSize`)",
                spec.output.producer.max_record_size >> 10
            )),
            Spec::DynamoDb(_) => Some("items of up to 400 KiB".to_owned()),
            Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => None,
        }
    }

    /// The stream that the input reads.
    pub(super) fn input_stream(&self) -> Option<&StreamRef> {
        self.spec.kinesis().filter(|spec| spec.direction.has_input()).map(|spec| &spec.stream)
    }

    /// Whether the input may give records up.
    pub(super) fn input_gives_up(&self) -> bool {
        self.spec.kinesis().is_some_and(|spec| {
            let on_error = spec.shaping.as_ref().and_then(|shaping| shaping.on_error());
            spec.input.delivery.gives_up() || matches!(on_error, Some(OnError::Fail | OnError::DeadLetter))
        })
    }

    /// The stream that the output writes to.
    pub(super) fn output_stream(&self) -> Option<&StreamRef> {
        self.spec.kinesis().filter(|spec| spec.direction.has_output()).map(|spec| &spec.stream)
    }

    /// The connection to AWS, if the kind has one.
    #[must_use]
    pub const fn connection(&self) -> Option<&ConnectionSettings> {
        match &self.spec {
            Spec::Kinesis(spec) => Some(&spec.connection),
            Spec::DynamoDb(spec) => Some(&spec.connection),
            Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => None,
        }
    }

    pub(crate) const fn connection_mut(&mut self) -> Option<&mut ConnectionSettings> {
        match &mut self.spec {
            Spec::Kinesis(spec) => Some(&mut spec.connection),
            Spec::DynamoDb(spec) => Some(&mut spec.connection),
            Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => None,
        }
    }

    /// The pluggable component that serves the type, if one does.
    pub(crate) fn plug(&self) -> Option<&Arc<Plug>> {
        match &self.spec {
            Spec::Pluggable(spec) => Some(&spec.plug),
            Spec::Kinesis(_) | Spec::DynamoDb(_) | Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) => None,
        }
    }

    /// The sides that the file enables.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        match &self.spec {
            Spec::Kinesis(spec) => spec.direction,
            Spec::DynamoDb(spec) => spec.direction,
            Spec::Cron(spec) => spec.direction,
            Spec::Http(spec) => spec.direction,
            Spec::LocalStorage(spec) => spec.direction,
            Spec::Pluggable(spec) => spec.direction,
        }
    }

    /// `route`: the app's path for events, with its leading `/`.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        match &self.spec {
            Spec::Kinesis(spec) => spec.input.route.as_deref(),
            Spec::Cron(spec) => spec.route.as_deref(),
            Spec::Pluggable(spec) => spec.route.as_deref(),
            Spec::DynamoDb(_) | Spec::Http(_) | Spec::LocalStorage(_) => None,
        }
    }
}
