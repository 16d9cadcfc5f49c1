//! `bindd check`: reads the files of a sidecar and reports every fault; with `--connect` also tries what each component needs.

use super::files::{self, Findings};
use crate::bindings::pluggable::{Plugs, SocketFolder};
use crate::bindings::secretstores::{self, StoreOptions};
use crate::bindings::{CheckResult, Checked, ComponentAccess, check_access, check_with, missing_files};
use crate::domain::app_id_or_default;
use crate::manifest::{Loaded, ProcessEnvironment};
use crate::settings::{CheckSettings, ProbeSettings};
use std::fmt::Write as _;
use std::time::Duration;

/// Limit of all calls for one component.
const ACCESS_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// For standard output.
    pub text: String,
    /// Whether no fault was found and every component has the access it needs; then the exit code is 0, else 1.
    pub passed: bool,
}

/// Checks the files as a sidecar of that app and namespace would load them, without any network call. So the values of secrets
/// in Kubernetes and AWS are not checked, which a notice says.
#[must_use]
pub fn run(settings: &CheckSettings) -> Report {
    let (files, findings) = files::read(settings, &[]);
    report(settings, &check_loaded(settings, files.offline(), findings, &Plugs::default()), None)
}

/// As [`run`], then tries what each component without fault needs, all at the same time, for at most 30 s each. Writes
/// nothing to AWS.
pub async fn connect(settings: ProbeSettings) -> Report {
    let stores = StoreOptions { ca_bundle: settings.ca_bundle.as_deref(), ..StoreOptions::default() };
    let (plugs, unusable) = SocketFolder::new(&settings.component_sockets).discover(Plugs::default()).await;
    let (files, findings) = files::read(&settings.files, &plugs.types());
    let loaded = Box::pin(secretstores::load(files, stores)).await;
    let mut result = check_loaded(&settings.files, loaded, findings, &plugs);
    result.notices.extend(unusable);
    let app_id = app_id_or_default(settings.files.app_id.as_deref().unwrap_or_default());
    let ca_bundle = settings.ca_bundle.as_deref();
    let check = |checked: Checked| check_access(checked, app_id, ca_bundle, ACCESS_TIMEOUT);
    let access = futures_util::future::join_all(result.components.clone().into_iter().map(check)).await;
    report(&settings.files, &result, Some(&access))
}

fn check_loaded(settings: &CheckSettings, loaded: Loaded, findings: Findings, plugs: &Plugs) -> CheckResult {
    let mut result = check_with(loaded, plugs);
    result.notices.extend(missing_files(&result.components, &ProcessEnvironment));
    findings.add_to(&mut result);
    files::check_policies(settings).add_to(&mut result);
    result
}

fn report(settings: &CheckSettings, result: &CheckResult, access: Option<&[ComponentAccess]>) -> Report {
    let text = if settings.json { to_json(result, access) } else { to_text(result, access) };
    let is_sufficient = access.is_none_or(|access| access.iter().all(ComponentAccess::is_sufficient));
    Report { text, passed: result.faults.is_empty() && is_sufficient }
}

fn to_json(result: &CheckResult, access: Option<&[ComponentAccess]>) -> String {
    let components: Vec<_> = result
        .components
        .iter()
        .map(|checked| serde_json::json!({ "name": checked.name.as_str(), "type": checked.type_name, "version": checked.version }))
        .collect();
    let notices: Vec<_> = result.notices.iter().map(ToString::to_string).collect();
    let faults: Vec<_> = result.faults.iter().collect();
    let mut report = serde_json::json!({ "components": components, "notices": notices, "faults": faults });
    if let (Some(access), Some(report)) = (access, report.as_object_mut()) {
        report.insert("access".to_owned(), serde_json::json!(access));
    }
    format!("{report:#}\n")
}

fn to_text(result: &CheckResult, access: Option<&[ComponentAccess]>) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a `String` cannot fail.
        writeln!(text, "{args}").unwrap_or_default();
    };
    for checked in &result.components {
        line(format_args!("ok       {} ({}/{})", checked.name, checked.type_name, checked.version));
    }
    for notice in &result.notices {
        line(format_args!("notice   {notice}"));
    }
    for fault in result.faults.iter() {
        line(format_args!("fault    {fault}"));
    }
    let components = counted(result.components.len(), "component");
    let (faults, notices) = (counted(result.faults.len(), "fault"), counted(result.notices.len(), "notice"));
    line(format_args!("{components} without fault, {faults}, {notices}"));
    if let Some(access) = access {
        for row in table(access) {
            line(format_args!("{row}"));
        }
    }
    text
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A heading, then a row for each call; each column but the last is as wide as its widest cell.
fn table(access: &[ComponentAccess]) -> Vec<String> {
    let mut rows = vec![["COMPONENT", "TRIED", "RESOURCE", "RESULT", "HINT"].map(str::to_owned)];
    for component in access {
        if !component.identity.is_empty() {
            let name = component.component.clone();
            rows.push([
                name,
                "credentials".to_owned(),
                "identity".to_owned(),
                "ok".to_owned(),
                component.identity.clone(),
            ]);
        }
        rows.extend(component.findings.iter().map(|finding| {
            let hint = finding.hint.replace(['\n', '\r'], " ");
            let tried = finding.tried.to_owned();
            [component.component.clone(), tried, finding.resource.clone(), finding.result.as_str().to_owned(), hint]
        }));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let shown = |[component, tried, resource, result, hint]: &[String; 5]| {
        let [a, b, c, d] = widths;
        format!("{component:a$}  {tried:b$}  {resource:c$}  {result:d$}  {hint}").trim_end().to_owned()
    };
    rows.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn of(folder: &TempDir) -> CheckSettings {
        CheckSettings { paths: vec![folder.path().to_owned()], ..CheckSettings::default() }
    }

    fn last_line(files: &[(&str, &str)]) -> String {
        let folder = folder(files);
        let report = run(&of(&folder));
        report.text.lines().last().unwrap().to_owned()
    }

    #[test]
    fn one_is_counted_without_an_s() {
        let good = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: rows}\nspec:\n  \
                    type: bindings.aws.dynamodb\n  version: v1\n  metadata: [{name: table, value: orders}]\n";
        let one = last_line(&[
            ("good.yaml", good),
            ("bad.yaml", "kind: Component\nspec: {type: bindings.aws.dynamodb"),
            ("odd.txt", ""),
        ]);
        assert_eq!(one, "1 component without fault, 1 fault, 1 notice");
        assert_eq!(last_line(&[]), "0 components without fault, 0 faults, 0 notices");
    }

    const ROWS: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: rows}\nspec:\n  \
                        type: bindings.aws.dynamodb\n  metadata: [{name: table, value: orders}]\n";

    #[test]
    fn a_configuration_denies_components_and_its_faults_fail_the_check() {
        let folder = folder(&[("a.yaml", ROWS)]);
        let configs = self::folder(&[
            ("deny.yaml", "kind: Configuration\nspec: {components: {deny: [bindings.aws.dynamodb]}}"),
            ("wrong.yaml", "kind: Configuration\nspec: {metrics: {enabled: perhaps}}"),
        ]);
        let with = |config: &str| {
            let config_paths = vec![configs.path().join(config)];
            run(&CheckSettings { config_paths, ..of(&folder) })
        };
        let denied = with("deny.yaml");
        assert!(denied.passed && denied.text.contains("are not allowed"), "{}", denied.text);
        for (config, problem) in [("wrong.yaml", "`spec.metrics.enabled`"), ("absent.yaml", "no such file")] {
            let report = with(config);
            assert!(!report.passed && report.text.contains(problem), "{}", report.text);
            assert!(report.text.contains("ok       rows"), "{}", report.text);
        }
    }

    #[test]
    fn faults_of_policies_fail_the_check() {
        let policies = |spec: &str| format!("kind: Resiliency\nmetadata: {{name: calls}}\nspec: {spec}\n");
        let good = policies(
            "{policies: {timeouts: {short: 2s}}, targets: {components: {rows: {outbound: {timeout: brief}}}}}",
        );
        for (text, passed, said) in [
            (policies("{policies: {timeouts: {short: soon}}}"), false, "Resiliency `calls`: timeout \"short\""),
            ("kind: Resiliency\nspec: {".to_owned(), false, "Could not parse resiliency file"),
            (good, true, "names the timeout \"brief\", which does not exist"),
        ] {
            let folder = folder(&[("a.yaml", ROWS), ("b.yaml", &text)]);
            let report = run(&of(&folder));
            assert!(report.passed == passed && report.text.contains(said), "{said}: {}", report.text);
        }
    }

    #[test]
    fn faults_are_notices_where_daprd_is_the_model() {
        let folder = folder(&[("a.yaml", &ROWS.replace("table", "tabel"))]);
        for (dapr_compat, passed) in [(false, false), (true, true)] {
            let report = run(&CheckSettings { dapr_compat, ..of(&folder) });
            assert_eq!(report.passed, passed, "{}", report.text);
        }
    }
}
