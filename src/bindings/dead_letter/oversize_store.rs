//! Keeps records in another output component, and those that are too large for it in a folder.

use super::binding_store::BindingStore;
use super::folder::FolderStore;
use crate::domain::{BindingError, DeadLetter, DeadLetterStore, FailureKind};
use async_trait::async_trait;

#[derive(Debug)]
pub(in crate::bindings) struct OversizeStore {
    binding: BindingStore,
    folder: FolderStore,
}

impl OversizeStore {
    pub(in crate::bindings) const fn new(binding: BindingStore, folder: FolderStore) -> Self {
        Self { binding, folder }
    }
}

#[async_trait]
impl DeadLetterStore for OversizeStore {
    async fn store(&self, letter: &DeadLetter) -> Result<(), BindingError> {
        match self.binding.store(letter).await {
            // Any other failure may end, and then the component has all records of the key in their order.
            Err(error) if error.kind() == FailureKind::TooLarge => self.folder.store(letter).await,
            stored => stored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Answer, Target, letter};
    use super::*;
    use crate::domain::InvokeResponse;
    use std::fs;

    async fn store_with(answer: Answer) -> (Result<(), BindingError>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let (_target, registry) = Target::published(Some(answer));
        let binding = BindingStore::new("letters".parse().unwrap(), registry);
        let store = OversizeStore::new(binding, FolderStore::open(folder.path().to_owned()).await.unwrap());
        let stored = store.store(&letter("x", 0)).await;
        (stored, fs::read_dir(folder.path()).unwrap().count())
    }

    #[tokio::test]
    async fn the_folder_takes_only_what_is_too_large_for_the_binding() {
        let (stored, files) = store_with(|| Ok(InvokeResponse::default())).await;
        assert_eq!((stored.is_ok(), files), (true, 0));
        let (stored, files) = store_with(|| Err(BindingError::new(FailureKind::TooLarge, "over 400 KiB"))).await;
        assert_eq!((stored.is_ok(), files), (true, 1));
        for answer in [
            (|| Err(BindingError::new(FailureKind::Throttled, "later"))) as Answer,
            || Err(BindingError::new(FailureKind::Denied, "no")),
            || Err(BindingError::new(FailureKind::Caller, "another key")),
        ] {
            let (stored, files) = store_with(answer).await;
            assert_eq!((stored.is_err(), files), (true, 0));
        }
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_an_error() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("letters");
        let (_target, registry) = Target::published(Some(|| Err(BindingError::new(FailureKind::TooLarge, "big"))));
        let binding = BindingStore::new("letters".parse().unwrap(), registry);
        let store = OversizeStore::new(binding, FolderStore::open(path.clone()).await.unwrap());
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        let error = store.store(&letter("x", 0)).await.unwrap_err();
        assert!(error.to_string().contains("deadLetterFolder"), "{error}");
    }
}
