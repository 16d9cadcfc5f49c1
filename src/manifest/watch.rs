//! Reports that component files may have changed.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// Watches folders and files, and the folders that hold them, so that one that is deleted and created again, or that is a
/// link to another folder (as Kubernetes mounts volumes), is noticed too. The content of subfolders is not watched.
///
/// The kernel has limits for watches. Where one is reached, [`FileWatch::is_complete`] is false, and the caller has to
/// compare the files now and then.
pub struct FileWatch {
    watcher: Option<RecommendedWatcher>,
    paths: Vec<PathBuf>,
    changed: Arc<Notify>,
    failure: Option<String>,
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWatch").field("paths", &self.paths).field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl FileWatch {
    /// Begins to watch these folders and files.
    #[must_use]
    pub fn start(paths: &[PathBuf]) -> Self {
        let paths: Vec<PathBuf> =
            paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect();
        let changed = Arc::new(Notify::new());
        let report = {
            let (changed, paths) = (Arc::clone(&changed), paths.clone());
            move |event: notify::Result<Event>| {
                if event.is_ok_and(|event| !concerns(&event, &paths)) {
                    return;
                }
                changed.notify_one();
            }
        };
        let (watcher, failure) = match notify::recommended_watcher(report) {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut watch = Self { watcher, paths, changed, failure };
        watch.refresh();
        watch
    }

    /// Resolves when something may have changed since it last resolved. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Watches again what was created again since, perhaps with the same inode. Call it before the files are read.
    pub fn refresh(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        self.failure = None;
        for folder in folders(&self.paths) {
            // It fails for a folder that is new.
            drop(watcher.unwatch(&folder));
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                self.failure = Some(format!("{}: {error}", folder.display()));
            }
        }
    }

    /// Whether every change is reported.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.failure.is_none()
    }

    /// Why not every change is reported.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// The paths that are folders, and the folder that holds each path, which may not exist.
fn folders(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in paths {
        let own = path.is_dir().then_some(path.as_path());
        for folder in own.into_iter().chain([holder(path)]) {
            if !folders.iter().any(|known| known == folder) {
                folders.push(folder.to_owned());
            }
        }
    }
    folders
}

fn holder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Whether an event is about one of the paths or an entry of it. Reading a file is an event too, and changes nothing.
fn concerns(event: &Event, paths: &[PathBuf]) -> bool {
    let is_change = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    };
    let is_ours = |path: &PathBuf| paths.iter().any(|own| path == own || path.parent() == Some(own.as_path()));
    is_change && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_ours))
}

#[cfg(test)]
#[path = "tests/watch.rs"]
mod tests;
