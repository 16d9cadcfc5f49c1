//! Reads the files of a command, as a sidecar with the same flags would.

use crate::bindings::CheckResult;
use crate::manifest::{
    ComponentFiles, ComponentRules, Fault, Faults, LoadRequest, Notice, ProcessEnvironment, load_configuration,
    load_resiliencies, read_allowed,
};
use crate::policies::{PolicySet, ResiliencySpec};
use crate::settings::CheckSettings;

/// What is to be said about files that are no components.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Faults,
    notices: Vec<Notice>,
}

impl Findings {
    pub(super) fn add_to(self, result: &mut CheckResult) {
        result.faults.extend(self.faults);
        result.notices.extend(self.notices);
    }
}

fn request(settings: &CheckSettings) -> LoadRequest<'_> {
    LoadRequest {
        paths: &settings.paths,
        app_id: settings.app_id.as_deref(),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    }
}

/// The component files without those that the Configuration denies, and what is to be said about the Configuration.
/// `plugged` are types of pluggable components.
pub(super) fn read<'s>(settings: &'s CheckSettings, plugged: &[String]) -> (ComponentFiles<'s>, Findings) {
    let paths: Vec<String> = settings.config_paths.iter().map(|path| path.display().to_string()).collect();
    let file = paths.join(", ");
    let mut findings = Findings::default();
    let rules = match load_configuration(&settings.config_paths, &ProcessEnvironment) {
        Ok(configuration) => {
            findings.notices.extend(configuration.notices.into_iter().map(|text| Notice::of_file(&file, text)));
            configuration.components
        }
        Err(error) => {
            let remedy = "correct it, as a sidecar does not start with it";
            findings.faults.push(Fault::of_file(&file, error.to_string(), remedy));
            ComponentRules::default()
        }
    };
    (read_allowed(&request(settings), &rules, plugged).with_dapr_compat(settings.dapr_compat), findings)
}

/// Checks the `Resiliency` documents. A sidecar starts without those that are wrong, so it is here that they are noticed.
pub(super) fn check_policies(settings: &CheckSettings) -> Findings {
    let (documents, unread) = load_resiliencies(&request(settings));
    let mut findings = Findings::default();
    findings.faults.extend(unread.into_iter().map(|notice| {
        let fault = Fault::of_file(&notice.file, notice.text, "correct it, as a sidecar starts without its policies");
        Fault { document: notice.document, ..fault }
    }));
    let mut specs = Vec::new();
    for document in &documents {
        match ResiliencySpec::read(document) {
            Ok(spec) => {
                let notice = |remark: &String| Notice::of_document(&document.place, remark);
                findings.notices.extend(spec.remarks.iter().map(notice));
                specs.push(spec);
            }
            Err(problem) => {
                let problem = format!("Resiliency `{}`: {problem}", document.name);
                let remedy = "correct it, as a sidecar starts without the policies of this document";
                findings.faults.push(Fault::of_document(&document.place, problem, remedy));
            }
        }
    }
    let (_, remarks) = PolicySet::new(specs);
    findings.notices.extend(remarks.into_iter().map(|remark| Notice::of_file("Resiliency", remark)));
    findings
}
