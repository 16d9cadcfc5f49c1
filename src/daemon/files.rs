//! Reads the component files.

use crate::bindings::pluggable::{Plugs, SocketFolder};
use crate::bindings::secretstores::{self, StoreOptions};
use crate::bindings::{CheckResult, check_with, missing_files};
use crate::manifest::{self, ComponentRules, LoadRequest, Notice, Overridden, Overrides, ProcessEnvironment};
use crate::settings::{Mode, Settings};
use std::path::Path;

/// The components of the files but those that `rules` deny, and everything that is to be said about the files. Calls the
/// secret stores that they refer to, and the sockets of pluggable components that are not `known`. `overrides` take the place of
/// documents of the files, which are returned.
pub(super) async fn check_files(
    settings: &Settings,
    rules: &ComponentRules,
    (sockets, known): (&SocketFolder, Plugs),
    overrides: &Overrides,
) -> (CheckResult, Vec<Overridden>) {
    let request = LoadRequest {
        paths: &settings.resources_paths,
        app_id: Some(&settings.app_id),
        namespace: settings.namespace.as_deref(),
        environment: &ProcessEnvironment,
    };
    let stores = StoreOptions {
        builtin_kubernetes: settings.mode == Mode::Kubernetes && settings.builtin_kubernetes_secrets,
        ca_bundle: settings.ca_bundle.as_deref(),
    };
    let (plugs, unusable) = sockets.discover(known).await;
    let files = manifest::read_with(&request, rules, &plugs.types(), overrides).with_dapr_compat(settings.dapr_compat);
    let overridden = files.overridden().to_vec();
    let mut result = check_with(secretstores::load(files, stores).await, &plugs);
    name_sockets(&mut result, &settings.component_sockets);
    result.notices.extend(unusable);
    let absent = missing_files(&result.components, &ProcessEnvironment);
    result.notices.extend(absent);
    // They are known, and are never connected as they are.
    let disabled = std::mem::take(&mut result.faulty_disabled);
    result.components.extend(disabled);
    if settings.strict_components {
        result.faults.extend(std::mem::take(&mut result.unserved));
    }
    (result, overridden)
}

/// Says of bindings that are skipped for their type where a pluggable component was looked for: it may not have started yet.
fn name_sockets(result: &mut CheckResult, folder: &Path) {
    let text = format!(
        ", and no socket in {} (DAPR_COMPONENTS_SOCKETS_FOLDER) is that of a pluggable component which serves it",
        folder.display()
    );
    let unserved = &result.unserved;
    let is_unserved =
        |notice: &Notice| unserved.iter().any(|fault| (&fault.file, fault.document) == (&notice.file, notice.document));
    let of_not_loaded = result.not_loaded.iter_mut().filter_map(|one| one.notice.as_mut());
    for notice in result.notices.iter_mut().chain(of_not_loaded) {
        if notice.text.starts_with("skipped: ") && is_unserved(notice) {
            notice.text.push_str(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pluggable_component_that_is_not_there_yet_is_said_to_be_missing_at_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["bindings.mail", "state.redis"] {
            let text = format!(
                "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: welcome}}\nspec: {{type: {kind}}}\n"
            );
            std::fs::write(folder.path().join(kind).with_extension("yaml"), text).unwrap();
        }
        let mut settings = Settings::local("shop", folder.path());
        settings.component_sockets = folder.path().join("sockets");
        let sockets = SocketFolder::new(&settings.component_sockets);
        let (rules, none) = (ComponentRules::default(), Overrides::default());
        let (result, _) = check_files(&settings, &rules, (&sockets, Plugs::default()), &none).await;
        let names_folder = |notice: &Notice| notice.text.contains("sockets (DAPR_COMPONENTS_SOCKETS_FOLDER)");
        let named: Vec<&Notice> = result.notices.iter().filter(|notice| names_folder(notice)).collect();
        assert_eq!(named.len(), 1, "{:?}", result.notices);
        assert!(named[0].text.contains("bindd does not serve the type `bindings.mail`, and no socket"), "{}", named[0]);
        assert_eq!(
            result.not_loaded.iter().filter_map(|one| one.notice.as_ref()).filter(|n| names_folder(n)).count(),
            1
        );
    }
}
