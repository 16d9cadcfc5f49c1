//! The list of kinds, and the check of everything that was loaded against it.

use super::cross_checks::{self, Candidate};
use super::{Context, dynamodb, kinesis};
use crate::aws::ConnectionSettings;
use crate::domain::{Binding, BindingError, ComponentName, Direction, FailureKind};
use crate::manifest::{DYNAMODB, Document, Fault, Faults, KINESIS, Loaded, Notice, Place, is_local_store, nearest};
use std::sync::Arc;
use std::time::Duration;

/// What the check of one kind gives. A spec with faults is only for looking at.
type Outcome = (Spec, Faults, Vec<Notice>);

/// A row of the catalog.
struct Kind {
    type_name: &'static str,
    /// Versions as Dapr registers them; the empty one and `v0` mean the first.
    versions: &'static [&'static str],
    check: fn(&Document) -> Outcome,
}

/// The only list of kinds.
static KINDS: [Kind; 2] = [
    Kind { type_name: KINESIS, versions: &["", "v0", "v1"], check: check_kinesis },
    Kind { type_name: DYNAMODB, versions: &["", "v0", "v1"], check: check_dynamodb },
];

fn check_kinesis(document: &Document) -> Outcome {
    let (spec, faults, notices) = kinesis::Spec::check(document);
    (Spec::Kinesis(Box::new(spec)), faults, notices)
}

fn check_dynamodb(document: &Document) -> Outcome {
    let (spec, faults, notices) = dynamodb::Spec::check(document);
    (Spec::DynamoDb(Box::new(spec)), faults, notices)
}

/// The checked text of a component, by kind.
#[derive(Debug, Clone)]
pub enum Spec {
    /// `bindings.aws.kinesis`
    Kinesis(Box<kinesis::Spec>),
    /// `bindings.aws.dynamodb`
    DynamoDb(Box<dynamodb::Spec>),
}

/// A component that may be connected.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its name.
    pub name: ComponentName,
    /// Its type in lower case, such as `bindings.aws.kinesis`.
    pub type_name: &'static str,
    /// Its version as written; may be empty.
    pub version: String,
    /// Whether the daemon goes on when this component cannot be connected.
    pub ignore_errors: bool,
    /// How long connecting may take.
    pub init_timeout: Duration,
    /// Where its document stands.
    pub place: Place,
    /// What its file says.
    pub spec: Spec,
}

impl Checked {
    /// The lease table that the file names for its input, by itself or by the consumer's name.
    pub(super) fn lease_table(&self) -> Option<&str> {
        match &self.spec {
            Spec::Kinesis(spec) if spec.direction.has_input() => {
                spec.input.lease_table.as_deref().or(spec.input.consumer_name.as_deref())
            }
            Spec::Kinesis(_) | Spec::DynamoDb(_) => None,
        }
    }

    /// The component that takes what failed for good, if the file names one.
    pub(super) fn dead_letter(&self) -> Option<&ComponentName> {
        match &self.spec {
            Spec::Kinesis(spec) if spec.direction.has_output() => spec.output.dead_letter.as_ref(),
            Spec::Kinesis(_) | Spec::DynamoDb(_) => None,
        }
    }

    /// How it reaches AWS.
    #[must_use]
    pub const fn connection(&self) -> &ConnectionSettings {
        match &self.spec {
            Spec::Kinesis(spec) => &spec.connection,
            Spec::DynamoDb(spec) => &spec.connection,
        }
    }

    /// How it reaches AWS, to be completed.
    pub(crate) const fn connection_mut(&mut self) -> &mut ConnectionSettings {
        match &mut self.spec {
            Spec::Kinesis(spec) => &mut spec.connection,
            Spec::DynamoDb(spec) => &mut spec.connection,
        }
    }

    /// Which sides the file asks for.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        match &self.spec {
            Spec::Kinesis(spec) => spec.direction,
            Spec::DynamoDb(spec) => spec.direction,
        }
    }

    /// The app's path for events, with its leading `/`, if the file names one.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        match &self.spec {
            Spec::Kinesis(spec) => spec.input.route.as_deref(),
            Spec::DynamoDb(_) => None,
        }
    }
}

/// What came of all files.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The components that are right, in file order.
    pub components: Vec<Checked>,
    /// What was left out or is odd; those of loading first.
    pub notices: Vec<Notice>,
    /// What is wrong; those of loading first. The daemon does not start unless this is empty.
    pub faults: Faults,
}

/// Checks every loaded document against its kind. Pure: nothing is contacted, and all faults are found together.
#[must_use]
pub fn check(loaded: Loaded) -> Verdict {
    let Loaded { documents, notices, faults } = loaded;
    let mut verdict = Verdict { components: Vec::new(), notices, faults };
    let mut candidates: Vec<Candidate<'_>> =
        documents.iter().filter_map(|document| verdict.document(document)).collect();
    verdict.notices.extend(cross_checks::notices(&candidates));
    for (place, fault) in cross_checks::judge(&candidates, &documents) {
        let Some(candidate) = candidates.get_mut(place) else { continue };
        candidate.is_sound = false;
        verdict.fault(candidate.document, fault);
    }
    let sound = candidates.into_iter().filter(|candidate| candidate.is_sound);
    verdict.components = sound.map(|candidate| candidate.checked).collect();
    verdict
}

impl Verdict {
    /// The component of a document, if its kind is known.
    fn document<'d>(&mut self, document: &'d Document) -> Option<Candidate<'d>> {
        let type_name = document.component_type.to_lowercase();
        if let Some(kind) = KINDS.iter().find(|kind| kind.type_name == type_name) {
            return Some(self.known(kind, document));
        }
        // The loader opened the stores; no component comes of them. It gives no other types but typing errors.
        if !is_local_store(&type_name) {
            self.fault(document, unknown_type(document, &type_name));
        }
        None
    }

    fn known<'d>(&mut self, kind: &Kind, document: &'d Document) -> Candidate<'d> {
        let is_offered = kind.versions.contains(&document.version.to_lowercase().as_str());
        if !is_offered {
            let problem = format!("`{}` has no version `{}`", kind.type_name, document.version);
            let fault = Fault::of_document(&document.place, problem, "write `v1`");
            self.fault(document, fault.component(document.name.as_str()).field("spec.version"));
        }
        let (spec, faults, notices) = (kind.check)(document);
        let is_sound = document.is_whole() && faults.is_empty() && is_offered;
        self.notices.extend(notices);
        for fault in faults {
            self.fault(document, fault);
        }
        let checked = Checked {
            name: document.name.clone(),
            type_name: kind.type_name,
            version: document.version.clone(),
            ignore_errors: document.ignore_errors,
            init_timeout: document.init_timeout,
            place: document.place.clone(),
            spec,
        };
        Candidate { document, checked, is_sound }
    }

    fn fault(&mut self, document: &Document, fault: Fault) {
        if document.ignore_errors {
            self.notices.push(fault.into_notice());
        } else {
            self.faults.push(fault);
        }
    }
}

fn unknown_type(document: &Document, type_name: &str) -> Fault {
    let near = nearest(type_name, KINDS.iter().map(|kind| kind.type_name));
    let (problem, remedy) = if type_name.starts_with("bindings.") {
        let problem = format!("unknown kind `{}`", document.component_type);
        (problem, near.map_or_else(kinds, |name| format!("did you mean `{name}`? {}", kinds())))
    } else {
        let problem = format!("`{}` is not a type of component", document.component_type);
        (problem, near.map_or_else(kinds, |name| format!("did you mean `{name}`?")))
    };
    Fault::of_document(&document.place, problem, remedy).component(document.name.as_str()).field("spec.type")
}

fn kinds() -> String {
    let names: Vec<String> = KINDS.iter().map(|kind| format!("`{}`", kind.type_name)).collect();
    format!("known kinds are {}", names.join(" and "))
}

/// Connects one component under its `initTimeout`.
///
/// # Errors
/// When the component cannot be connected, or not in time.
pub async fn connect(mut checked: Checked, context: &Context) -> Result<Arc<dyn Binding>, BindingError> {
    let limit = checked.init_timeout;
    let metrics = context.metrics.credentials(checked.name.as_str());
    let connection = checked.connection_mut();
    connection.metrics = Some(metrics);
    if connection.ca_bundle.is_none() {
        connection.ca_bundle.clone_from(&context.ca_bundle);
    }
    let named = format!("{} ({}/{})", checked.name, checked.type_name, checked.version);
    let connecting = async {
        match checked.spec {
            Spec::Kinesis(spec) => kinesis::connect(checked.name, *spec, context).await,
            Spec::DynamoDb(spec) => dynamodb::connect(checked.name, *spec, context).await,
        }
    };
    tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| {
        let advice = "raise `initTimeout` or check that credentials and region can be found";
        Err(BindingError::new(
            FailureKind::TimedOut,
            format!("init timeout for component {named} after {limit:?}: {advice}"),
        ))
    })
}

#[cfg(test)]
#[path = "tests/catalog.rs"]
mod tests;

#[cfg(test)]
#[path = "tests/names.rs"]
mod name_tests;

#[cfg(test)]
#[path = "tests/outputs.rs"]
mod output_tests;
