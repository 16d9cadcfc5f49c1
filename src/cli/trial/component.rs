//! Finds the component that is tried.

use crate::bindings::trial::{Trial, TrialInput, TrialSide};
use crate::bindings::{CheckResult, Checked, check, trial_side, try_component};
use crate::manifest::{LoadRequest, ProcessEnvironment, read};
use crate::settings::TrySettings;

/// The component and the side that is tried.
#[derive(Debug)]
pub(super) struct Subject {
    component: Checked,
    pub(super) side: TrialSide,
    /// What is odd about the component, for standard error.
    pub(super) notes: String,
}

impl Subject {
    pub(super) async fn apply(&self, input: &TrialInput) -> Trial {
        try_component(&self.component, self.side, input).await
    }
}

/// The component that the settings name, or the only one that shapes records. Values that are not known here, such as
/// secrets, are left out: what is tried does not need them.
///
/// # Errors
/// When there is no such component, or it has faults.
pub(super) fn find(settings: &TrySettings) -> Result<Subject, String> {
    let files = &settings.files;
    let request = LoadRequest {
        paths: &files.paths,
        app_id: files.app_id.as_deref(),
        namespace: files.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let loaded = read(&request).with_dapr_compat(files.dapr_compat).without_secrets();
    let mut result = check(loaded);
    let notices: Vec<_> = result.notices.iter().map(|notice| (notice.component.clone(), notice.to_string())).collect();
    let component = match &settings.component {
        Some(name) => named(&mut result, name)?,
        None => only(&mut result, settings.as_input)?,
    };
    let side = trial_side(&component, settings.as_input)?;
    let of_component = |(name, _): &&(Option<String>, String)| name.as_deref() == Some(component.name.as_str());
    let notes = notices.iter().filter(of_component).map(|(_, text)| format!("notice: {text}\n")).collect();
    Ok(Subject { component, side, notes })
}

/// The component of this name.
fn named(result: &mut CheckResult, name: &str) -> Result<Checked, String> {
    if let Some(place) = result.components.iter().position(|component| component.name.as_str() == name) {
        return Ok(result.components.swap_remove(place));
    }
    let faulty_disabled = result.faulty_disabled.iter().map(|component| &component.name);
    if result.left_out.iter().chain(faulty_disabled).all(|left_out| left_out.as_str() != name) {
        let problem = format!("there is no component `{name}`; there are: {}", names(&result.components));
        return Err(with_faults(problem, result));
    }
    // Its faults are notices where it has `ignoreErrors` or is disabled.
    let of_component = result.notices.iter().filter(|notice| notice.component.as_deref() == Some(name));
    let notices: String = of_component.map(|notice| format!("\nnotice: {notice}")).collect();
    Err(with_faults(format!("component `{name}` has faults{notices}"), result))
}

/// The only component that can be tried. With faults it is not sure that it is the only one.
fn only(result: &mut CheckResult, as_input: bool) -> Result<Checked, String> {
    result.components.retain(|component| trial_side(component, as_input).is_ok());
    let side = if as_input { "input" } else { "component" };
    let problem = match (result.components.len(), result.faults.is_empty()) {
        (1, true) => return result.components.pop().ok_or_else(String::new),
        (0, true) => format!("there is no {side} of Kinesis or DynamoDB to try"),
        (_, true) => format!("choose one with --component; there are: {}", names(&result.components)),
        (0, false) => "the files have faults".to_owned(),
        (_, false) => {
            let names = names(&result.components);
            format!("the files have faults; correct them, or choose a component without with --component: {names}")
        }
    };
    Err(with_faults(problem, result))
}

fn with_faults(problem: String, result: &CheckResult) -> String {
    if result.faults.is_empty() { problem } else { format!("{problem}\n{}", result.faults) }
}

fn names(components: &[Checked]) -> String {
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
