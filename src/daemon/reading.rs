//! Reads the component files, the Configuration and the policies.

use super::configuration::{self, ConfigurationFault};
use super::files::check_files;
use super::policies;
use crate::bindings::CheckResult;
use crate::bindings::pluggable::{Plugs, SocketFolder};
use crate::manifest::{Configuration, Notice, Overridden, Overrides, ResiliencyDocument};
use crate::settings::Settings;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Where the files are, and what they are compared with.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) settings: Settings,
    /// That of the start: a changed one needs a restart, but for the components that it denies.
    pub(super) configuration: Configuration,
    sockets: Arc<SocketFolder>,
}

/// What the files say at one moment.
#[derive(Debug)]
pub(super) struct FilesRead {
    pub(super) configuration: Result<Configuration, ConfigurationFault>,
    pub(super) result: CheckResult,
    /// The documents of the files whose place an override has taken.
    pub(super) overridden: Vec<Overridden>,
    pub(super) policies: (Vec<ResiliencyDocument>, Vec<Notice>),
}

impl Reading {
    pub(super) fn new(settings: Settings, configuration: Configuration) -> Self {
        let sockets = Arc::new(SocketFolder::new(&settings.component_sockets));
        Self { settings, configuration, sockets }
    }

    /// Reads everything, with these documents in place of those of the files. `plugs` are the pluggable components that run:
    /// their programs may be down at this moment.
    ///
    /// # Errors
    /// When the thread that reads has failed.
    pub(super) async fn read(&self, plugs: Plugs, overrides: Overrides) -> Result<FilesRead, String> {
        let (settings, known) = (self.settings.clone(), self.configuration.clone());
        let sockets = Arc::clone(&self.sockets);
        let reading = tokio::task::spawn_blocking(move || {
            let configuration = configuration::load(&settings);
            let rules = configuration.as_ref().map_or(&known.components, |changed| &changed.components);
            // Secrets are fetched on this thread, too.
            let checking = check_files(&settings, rules, (&sockets, plugs), &overrides);
            let (result, overridden) = Handle::current().block_on(checking);
            FilesRead { configuration, result, overridden, policies: policies::read(&settings) }
        });
        reading.await.map_err(|error| error.to_string())
    }
}
