//! Compares the component files with what runs, and changes what differs: one owner task, which also carries out the changes
//! that the API requests, so that the two cannot race.

use super::api_changes::ApiChanges;
use super::apply::Changes;
use super::change_queue::ChangeRequest;
use super::configuration::ConfigurationFault;
use super::policies::PolicyFiles;
use super::reading::{FilesRead, Reading};
use super::reload_plan::{Removals, plan};
use crate::bindings::CheckResult;
use crate::domain::{ComponentName, Stop};
use crate::manifest::{Configuration, FileWatch, Notice};
use crate::runtime::Hangups;
use crate::telemetry::reopen_log_file;
use futures_util::future::OptionFuture;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// A change is compared once the files were quiet for this long, as a tool may write several.
const QUIET: Duration = Duration::from_millis(250);
/// A change is compared at the latest after this time.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How often the files are compared where the kernel cannot report every change.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// What the owner task changes, and what it compares the files with.
#[derive(Debug)]
pub(super) struct ReloadParts {
    pub(super) reading: Reading,
    pub(super) policies: PolicyFiles,
    pub(super) changes: Changes,
    pub(super) api: ApiChanges,
}

/// The owner task of the component files.
#[derive(Debug)]
pub(super) struct Reload {
    reading: Reading,
    policies: PolicyFiles,
    changes: Changes,
    api: ApiChanges,
    removals: Removals,
    /// `None` if files are compared only at SIGHUP.
    watch: Option<FileWatch>,
    /// When a change of the files was noticed that is not compared yet.
    noticed: Option<Instant>,
    hangups: Hangups,
    reported: Reported,
    is_poll_reported: bool,
}

/// What the owner task does next.
enum Event {
    /// Compare the files; with whether a signal requests it.
    Compare(bool),
    Request(Box<ChangeRequest>),
}

/// The fingerprints of the files, and their faults.
type Faulty = (BTreeMap<String, u64>, String);

/// What was logged about the files, so that it is logged once.
#[derive(Debug, Default)]
struct Reported {
    /// `None` before the first comparison, whose notices were logged at the start.
    notices: Option<HashSet<String>>,
    faults: Faulty,
    /// What is said about a changed Configuration.
    configuration: String,
    /// Components that run on because a value of theirs could not be read.
    lacking: Vec<ComponentName>,
}

impl Reload {
    /// `is_watching` is whether files are compared without a signal.
    pub(super) fn new(parts: ReloadParts, is_watching: bool) -> Self {
        let ReloadParts { reading, policies, changes, api } = parts;
        let paths = &reading.settings.resources_paths;
        let watch = (is_watching && !paths.is_empty()).then(|| {
            let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            // The beginnings of these lines are daprd's.
            tracing::info!("Hot reloading enabled. Daprd will reload 'Component' resources.");
            tracing::info!("Watching directories: [{}]", shown.join(", "));
            FileWatch::start(paths)
        });
        let (removals, reported) = (Removals::default(), Reported::default());
        // From now on, so that none is lost that is sent once the daemon says that it serves.
        let hangups = Hangups::listen();
        let (noticed, is_poll_reported) = (None, false);
        Self { reading, policies, changes, api, removals, watch, noticed, hangups, reported, is_poll_reported }
    }

    /// Runs until a stop is requested. What is then not closed is closed with the host.
    pub(super) async fn run(mut self, stop: Stop) {
        // Files may have changed since they were read.
        let mut due = self.watch.as_ref().map(|_| Instant::now());
        loop {
            // A request does not hold up a comparison that is due: of two that are ready, either may be first.
            let event = tokio::select! {
                () = stop.finishing() => break,
                request = self.api.next() => Event::Request(Box::new(request)),
                is_hangup = trigger(self.watch.as_ref(), &mut self.noticed, &mut self.hangups, due) => Event::Compare(is_hangup),
                never = self.changes.join_leaving() => match never {},
            };
            let handling = async {
                match event {
                    Event::Compare(is_requested) => due = self.compare(is_requested).await,
                    Event::Request(request) => self.api.handle(*request, &self.reading, &mut self.changes).await,
                }
            };
            tokio::select! {
                biased;
                () = stop.finishing() => break,
                () = handling => {}
            }
        }
        self.changes.stop().await;
    }

    /// When the files are compared again at the latest.
    fn due(&self, next: Option<Instant>) -> Option<Instant> {
        let interval = |watch: &FileWatch| match watch.is_complete() {
            true => self.reading.settings.reload.reconcile_interval,
            false => POLL_INTERVAL,
        };
        let periodic = self.watch.as_ref().map(|watch| Instant::now() + interval(watch));
        periodic.into_iter().chain(next).min()
    }

    /// `is_requested` is whether a signal requests it. Returns when to compare again.
    async fn compare(&mut self, is_requested: bool) -> Option<Instant> {
        self.noticed = None;
        self.refresh_watch();
        let (read, settles) = match self.read().await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "component files could not be compared");
                return self.due(None);
            }
        };
        let FilesRead { configuration, mut result, policies: resiliencies, .. } = read;
        self.reported.log_configuration(&self.reading.configuration, configuration);
        let plan = plan(&mut self.changes.running, &mut self.removals, &mut result, Instant::now());
        self.reported.log(&result, &plan.kept);
        self.policies.update(&resiliencies, &result);
        self.reported.log_lacking(&plan.lacking);
        let next = plan.next.into_iter().chain(settles).min();
        if is_requested && plan.is_empty() {
            tracing::info!(faults = result.faults.len() + plan.kept.len(), "no component was changed");
        }
        self.changes.apply(plan).await;
        self.api.publish(&self.changes);
        self.due(next)
    }

    /// Reads the files with the changes of the API that are still in force; and when to look again.
    async fn read(&mut self) -> Result<(FilesRead, Option<Instant>), String> {
        loop {
            let plugs = self.changes.plugs();
            let read = self.reading.read(plugs, self.api.overrides()).await?;
            // What was overridden is not among the result.
            match self.api.supersede(&read, &mut self.changes.running) {
                (true, _) => {}
                (false, next) => return Ok((read, next)),
            }
        }
    }

    fn refresh_watch(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        watch.refresh();
        match watch.failure() {
            Some(reason) if !self.is_poll_reported => {
                tracing::warn!(
                    reason, interval = ?POLL_INTERVAL,
                    "component files cannot be watched; they are compared at an interval (see fs.inotify.max_user_watches)"
                );
                self.is_poll_reported = true;
            }
            Some(_) => {}
            None => self.is_poll_reported = false,
        }
    }
}

impl Reported {
    fn log_configuration(&mut self, known: &Configuration, changed: Result<Configuration, ConfigurationFault>) {
        let text = match changed {
            Ok(changed) => {
                let members = known.restart_needed_for(&changed);
                if members.is_empty() {
                    String::new()
                } else {
                    format!("Configuration has changed; restart to apply its {}", members.join(", "))
                }
            }
            Err(fault) => format!("{fault}; the Configuration of the start stays in force"),
        };
        if text != self.configuration && !text.is_empty() {
            tracing::warn!("{text}");
        }
        self.configuration = text;
    }

    fn log_lacking(&mut self, lacking: &[ComponentName]) {
        for name in lacking.iter().filter(|name| !self.lacking.contains(name)) {
            tracing::error!(component = %name, "a value of the component cannot be read; the component runs on unchanged");
        }
        self.lacking = lacking.to_vec();
    }

    /// `kept` are components that run on for a notice.
    fn log(&mut self, result: &CheckResult, kept: &[(ComponentName, Notice)]) {
        let notices: HashSet<String> = result.notices.iter().map(ToString::to_string).collect();
        if let Some(known) = &self.notices {
            let is_kept = |notice: &&Notice| kept.iter().any(|(_, other)| other == *notice);
            let others = result.notices.iter().filter(|notice| !is_kept(notice)).map(ToString::to_string);
            for notice in others.filter(|notice| !known.contains(notice)) {
                tracing::warn!("{notice}");
            }
        }
        self.notices = Some(notices);
        let texts = kept.iter().map(|(name, notice)| format!("{name}: {notice}"));
        let texts: Vec<String> = std::iter::once(result.faults.to_string()).chain(texts).collect();
        let faults = (result.fingerprints.clone(), texts.join("\n"));
        if faults == self.faults {
            return;
        }
        let concerns_all = result.faults.iter().any(|fault| fault.concerns_all);
        for fault in &result.faults {
            if concerns_all {
                tracing::error!(%fault, "component files have a fault; all components run on unchanged");
            } else if fault.document.is_none() {
                tracing::error!(%fault, "files cannot be read; components that ran from them run on unchanged");
            } else {
                tracing::error!(%fault, "component file has a fault; the component runs on unchanged, if it ran");
            }
        }
        for (name, notice) in kept {
            tracing::error!(component = %name, fault = %notice, "component file has a fault; the component runs on unchanged");
        }
        self.faults = faults;
    }
}

/// Resolves when the files are to be compared: at SIGHUP, after a change, and at `due`. Whether it is for SIGHUP. Cancel-safe.
async fn trigger(
    watch: Option<&FileWatch>,
    noticed: &mut Option<Instant>,
    hangups: &mut Hangups,
    due: Option<Instant>,
) -> bool {
    tokio::select! {
        () = hangups.next() => {
            if let Err(error) = reopen_log_file() {
                tracing::error!(%error, "log file could not be opened again; lines go on into the old one");
            }
            tracing::info!("received signal 'hangup'; component files are compared");
            true
        }
        () = changed(watch, noticed) => false,
        Some(()) = OptionFuture::from(due.map(tokio::time::sleep_until)) => false,
    }
}

/// Resolves when the files have changed and are quiet again. `noticed` is when the first change was; it is kept when the
/// future is dropped.
async fn changed(watch: Option<&FileWatch>, noticed: &mut Option<Instant>) {
    let Some(watch) = watch else { return std::future::pending().await };
    let first = match *noticed {
        Some(first) => first,
        None => {
            watch.changed().await;
            *noticed.insert(Instant::now())
        }
    };
    let latest = first + MAX_WAIT;
    while Instant::now() < latest && tokio::time::timeout(QUIET, watch.changed()).await.is_ok() {}
    *noticed = None;
}
