//! Writes the documents that the API changes into the component files.

use super::reading::Reading;
use crate::http::{ComponentRefusal, RefusalKind};
use crate::manifest::{FileError, FileTarget, Overridden, RawDocument, StagedFile, remove_document};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A document that is to be written.
#[derive(Clone, Copy)]
pub(super) struct Staging<'a> {
    pub(super) document: &'a Arc<RawDocument>,
    /// The document of the files whose place it takes.
    pub(super) base: Option<&'a Overridden>,
    pub(super) reading: &'a Reading,
}

/// A document that is on the disk, beside its file.
#[derive(Debug)]
pub(super) struct Staged {
    file: StagedFile,
    secrets: Vec<String>,
}

/// A document that is in its file.
#[derive(Debug)]
pub(super) struct Persisted {
    pub(super) file: String,
    /// What the caller should know.
    pub(super) warnings: Vec<String>,
}

impl Staging<'_> {
    /// Writes the document: into its file if it has one, else into a new one of the first folder.
    pub(super) async fn stage(self) -> Result<Staged, ComponentRefusal> {
        let (document, base) = (Arc::clone(self.document), self.base.cloned());
        let folder = self.reading.settings.resources_paths.first().cloned();
        let secrets = document.inline_secrets();
        let file = blocking(move || match (&base, folder) {
            (Some(base), _) => document.stage(FileTarget::Existing { place: &base.place, document: &base.document }),
            (None, Some(folder)) => document.stage(FileTarget::NewIn(&folder)),
            (None, None) => Err(FileError::NotAllowed(
                "bindd was started without --resources-path, so there is no folder to write into".to_owned(),
            )),
        });
        Ok(Staged { file: file.await?, secrets })
    }
}

impl Staged {
    pub(super) async fn commit(self) -> Result<Persisted, ComponentRefusal> {
        let Self { file: staged, secrets } = self;
        let file = staged.file();
        let is_on_disk = blocking(move || staged.commit()).await?;
        let warning = |field: &String| {
            format!(
                "the secret of the field `{field}` is in {file} as it was sent; refer to a secret store by `secretKeyRef` \
                 instead"
            )
        };
        let mut warnings: Vec<String> = secrets.iter().map(warning).collect();
        if !is_on_disk {
            warnings.push(format!(
                "the folder of {file} could not be synced; after a loss of power the old file may be back"
            ));
        }
        Ok(Persisted { file, warnings })
    }
}

/// Removes the file of a document.
pub(super) async fn remove(found: Overridden, reading: &Reading) -> Result<(), ComponentRefusal> {
    let is_named = |path: &PathBuf| path.as_path() == Path::new(&found.place.file);
    if reading.settings.resources_paths.iter().any(is_named) {
        let file = &found.place.file;
        let message = format!(
            "--resources-path names {file}, and bindd does not start without it; leave `persist` out, and remove the file \
             together with its path"
        );
        return Err(ComponentRefusal::new(RefusalKind::Conflict, message));
    }
    blocking(move || remove_document(&found.place, &found.document)).await
}

/// Runs what waits for the disk on another thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, ComponentRefusal> {
    let done = tokio::task::spawn_blocking(work).await;
    let refusal = |kind, text: String| ComponentRefusal::new(kind, format!("{text}; nothing was changed"));
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(FileError::NotAllowed(text))) => Err(refusal(RefusalKind::Conflict, text)),
        Ok(Err(FileError::Io(text))) => Err(refusal(RefusalKind::NotWritten, text)),
        Err(error) => Err(refusal(RefusalKind::NotWritten, error.to_string())),
    }
}
