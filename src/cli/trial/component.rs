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
    let result = check(loaded);
    let notices: Vec<_> = result.notices.iter().map(|notice| (notice.component.clone(), notice.to_string())).collect();
    let component = choose(result, settings.component.as_deref(), settings.as_input)?;
    let side = trial_side(&component, settings.as_input)?;
    let of_component = |(name, _): &&(Option<String>, String)| name.as_deref() == Some(component.name.as_str());
    let notes = notices.iter().filter(of_component).map(|(_, text)| format!("notice: {text}\n")).collect();
    Ok(Subject { component, side, notes })
}

fn choose(result: CheckResult, name: Option<&str>, as_input: bool) -> Result<Checked, String> {
    let faults =
        if result.faults.is_empty() { String::new() } else { format!("; files have faults:\n{}", result.faults) };
    let mut components = result.components;
    let names = |components: &[Checked]| {
        let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
        if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) }
    };
    match name {
        Some(name) => match components.iter().position(|component| component.name.as_str() == name) {
            Some(place) => Ok(components.swap_remove(place)),
            None => Err(format!("there is no component `{name}` without fault; {}{faults}", names(&components))),
        },
        None => {
            components.retain(|component| trial_side(component, as_input).is_ok());
            match components.len() {
                1 if faults.is_empty() => components.pop().ok_or_else(String::new),
                _ => {
                    Err(format!("name the component with --component; of those to try {}{faults}", names(&components)))
                }
            }
        }
    }
}
