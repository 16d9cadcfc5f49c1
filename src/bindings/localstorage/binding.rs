//! The local storage component: it has an output side only.

use super::super::sides::Sides;
use super::output::{MAX_CONCURRENT, Output};
use super::root;
use super::spec::Spec;
use crate::domain::{Binding, BindingError, BodyMemory, ComponentName, FailureKind};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Creates the folder if it is missing.
///
/// # Errors
/// When the folder cannot be used.
pub(crate) async fn connect(
    name: ComponentName,
    spec: Spec,
    memory: &BodyMemory,
) -> Result<Arc<dyn Binding>, BindingError> {
    let Spec { root, max_file_size, .. } = spec;
    let opened = tokio::task::spawn_blocking(move || root::open(&root)).await;
    let root = opened.map_err(|error| {
        BindingError::new(FailureKind::Permanent, "the folder of `rootPath` could not be opened").with_source(error)
    })??;
    let (root, disk, memory) = (Arc::new(root), Arc::new(Semaphore::new(MAX_CONCURRENT)), memory.clone());
    Ok(Sides::of_output(name, Output { root, max_file_size, disk, memory }))
}

/// Whether the folder exists. It is not created.
///
/// # Errors
/// When the folder cannot be used.
pub(crate) async fn probe(spec: &Spec) -> Result<bool, BindingError> {
    let root = spec.root.clone();
    let looked = tokio::task::spawn_blocking(move || root::exists(&root)).await;
    looked.map_err(|error| {
        BindingError::new(FailureKind::Permanent, "the folder could not be opened").with_source(error)
    })?
}
