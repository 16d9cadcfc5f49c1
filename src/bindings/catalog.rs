//! The list of kinds; [`check`] makes typed specs of loaded documents, [`connect`] connects one.

use super::checked::{Checked, Spec};
use super::cross_checks;
use super::pluggable::{self, Plugs};
use super::{Context, cron, dynamodb, http, kinesis, localstorage, secretstores, shaping};
use crate::domain::{Binding, BindingError, ComponentName, FailureKind};
use crate::manifest::{
    CRON, DYNAMODB, Document, Fault, Faults, HTTP, KINESIS, LOCAL_STORAGE, Loaded, NotLoaded, Notice, is_remote_store,
    is_secret_store, nearest, served_bindings,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

type KindCheck = (Spec, Faults, Vec<Notice>);

struct Kind {
    type_name: &'static str,
    /// As Dapr registers them; the empty version and `v0` mean `v1`.
    versions: &'static [&'static str],
    check: fn(&Document) -> KindCheck,
}

/// Every kind of component that bindd serves.
static KINDS: [Kind; 5] = [
    Kind { type_name: KINESIS, versions: V1, check: |document| typed(kinesis::Spec::check(document), Spec::Kinesis) },
    Kind {
        type_name: DYNAMODB,
        versions: V1,
        check: |document| typed(dynamodb::Spec::check(document), Spec::DynamoDb),
    },
    Kind { type_name: CRON, versions: V1, check: |document| typed(cron::Spec::check(document), Spec::Cron) },
    Kind { type_name: HTTP, versions: V1, check: |document| typed(http::Spec::check(document), Spec::Http) },
    Kind {
        type_name: LOCAL_STORAGE,
        versions: V1,
        check: |document| typed(localstorage::Spec::check(document), Spec::LocalStorage),
    },
];

const V1: &[&str] = &["", "v0", "v1"];

fn typed<S>((spec, faults, notices): (S, Faults, Vec<Notice>), variant: fn(Box<S>) -> Spec) -> KindCheck {
    (variant(Box::new(spec)), faults, notices)
}

/// The result of checking all files.
#[derive(Debug, Default)]
pub struct CheckResult {
    /// The components without faults, in file order.
    pub components: Vec<Checked>,
    /// Notices of loading come first.
    pub notices: Vec<Notice>,
    /// Faults of loading come first. The daemon starts only without faults.
    pub faults: Faults,
    /// See [`Loaded::unserved`].
    pub unserved: Faults,
    /// Disabled components with faults, which are among the notices. Their specs are not valid.
    pub faulty_disabled: Vec<Checked>,
    /// Components that were found and left out for their faults, also those with `ignoreErrors`.
    pub left_out: Vec<ComponentName>,
    /// See [`Loaded::not_loaded`].
    pub not_loaded: Vec<NotLoaded>,
    /// See [`Loaded::fingerprints`].
    pub fingerprints: BTreeMap<String, u64>,
}

/// Checks every loaded document against its kind. Pure: nothing is contacted, and all faults are found together.
#[must_use]
pub fn check(loaded: Loaded) -> CheckResult {
    check_with(loaded, &Plugs::default())
}

/// As [`check`], also against the types of pluggable components.
#[must_use]
pub fn check_with(loaded: Loaded, plugs: &Plugs) -> CheckResult {
    let Loaded { documents, methods, notices, faults, unserved, not_loaded, fingerprints, .. } = loaded;
    let mut result = CheckResult { notices, faults, unserved, not_loaded, fingerprints, ..CheckResult::default() };
    let (checked_documents, mut components): (Vec<&Document>, Vec<Checked>) =
        documents.iter().filter_map(|document| Some((document, result.check(document, plugs)?))).unzip();
    result.faults.extend(shaping::check_methods(&methods));
    result.notices.extend(cross_checks::notices(&components));
    for (index, fault) in cross_checks::faults(&components, &documents) {
        components[index].is_valid = false;
        result.add_fault(checked_documents[index], fault);
    }
    components.retain(|component| component.is_valid || component.disabled);
    let is_left_out = |document: &&Document| {
        !is_secret_store(&document.component_type) && components.iter().all(|component| component.name != document.name)
    };
    result.left_out = documents.iter().filter(is_left_out).map(|document| document.name.clone()).collect();
    (result.components, result.faulty_disabled) = components.into_iter().partition(|component| component.is_valid);
    result
}

impl CheckResult {
    /// `None` if the document is not of a known kind.
    fn check(&mut self, document: &Document, plugs: &Plugs) -> Option<Checked> {
        let type_name = document.component_type.to_lowercase();
        if let Some(kind) = KINDS.iter().find(|kind| kind.type_name == type_name) {
            return Some(self.check_kind(kind.type_name.into(), kind.versions, (kind.check)(document), document));
        }
        if let Some(plug) = plugs.get(&type_name) {
            let checked = typed(pluggable::Spec::check(document, plug), Spec::Pluggable);
            return Some(self.check_kind(type_name.into(), V1, checked, document));
        }
        // Secret stores become no component. Any other type here is a typing error.
        if is_remote_store(&type_name) {
            let (faults, notices) = secretstores::check(document);
            self.notices.extend(notices);
            for fault in faults {
                self.add_fault(document, fault);
            }
        } else if !is_secret_store(&type_name) {
            self.add_fault(document, unknown_type(document, &type_name));
        }
        None
    }

    fn check_kind(
        &mut self,
        type_name: Cow<'static, str>,
        versions: &[&str],
        (spec, faults, notices): KindCheck,
        document: &Document,
    ) -> Checked {
        let is_known_version = versions.contains(&document.version.to_lowercase().as_str());
        if !is_known_version {
            let problem = format!("`{type_name}` has no version `{}`", document.version);
            let fault = Fault::of_document(&document.place, problem, "write `v1`");
            self.add_fault(document, fault.component(document.name.as_str()).field("spec.version"));
        }
        let is_valid = document.is_complete() && faults.is_empty() && is_known_version;
        self.notices.extend(notices);
        for fault in faults {
            self.add_fault(document, fault);
        }
        Checked {
            name: document.name.clone(),
            type_name,
            version: document.version.clone(),
            ignore_errors: document.ignore_errors,
            disabled: document.disabled,
            init_timeout: document.init_timeout,
            place: document.place.clone(),
            source: Arc::clone(&document.source),
            content: document.content(),
            spec,
            is_valid,
        }
    }

    fn add_fault(&mut self, document: &Document, fault: Fault) {
        if document.ignore_errors {
            self.notices.push(fault.into_notice());
        } else if document.disabled && !is_secret_store(&document.component_type) {
            self.notices.push(fault.into_disabled());
        } else if document.is_dapr_compat() && !is_secret_store(&document.component_type) {
            self.notices.push(fault.into_skipped(&document.log_name()));
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
    format!("known kinds are {}", served_bindings())
}

/// Connects one component under its `initTimeout`.
///
/// # Errors
/// When the component cannot be connected, or not in time.
pub async fn connect(mut checked: Checked, context: &Context) -> Result<Arc<dyn Binding>, BindingError> {
    let limit = checked.init_timeout;
    let metrics = checked.connection().map(|_| context.metrics.credentials(checked.name.as_str()));
    if let Some(connection) = checked.connection_mut() {
        connection.metrics = metrics;
        connection.tracer = context.tracer.clone();
        if connection.ca_bundle.is_none() {
            connection.ca_bundle.clone_from(&context.ca_bundle);
        }
    }
    let named = checked.log_name();
    let connecting = async {
        match checked.spec {
            Spec::Kinesis(spec) => kinesis::connect(checked.name, *spec, context).await,
            Spec::DynamoDb(spec) => dynamodb::connect(checked.name, *spec, context).await,
            Spec::Cron(spec) => Ok(cron::connect(checked.name, *spec, context)),
            Spec::Http(spec) => http::connect(checked.name, *spec, &context.bodies).await,
            Spec::LocalStorage(spec) => localstorage::connect(checked.name, *spec, &context.bodies).await,
            Spec::Pluggable(spec) => pluggable::connect(checked.name, *spec, limit, context).await,
        }
    };
    tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| {
        let advice = "raise `initTimeout`, or look at what it needs to connect, such as credentials and region";
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
#[path = "tests/compat.rs"]
mod compat_tests;

#[cfg(test)]
#[path = "tests/inputs.rs"]
mod input_tests;

#[cfg(test)]
#[path = "tests/names.rs"]
mod name_tests;

#[cfg(test)]
#[path = "tests/outputs.rs"]
mod output_tests;
