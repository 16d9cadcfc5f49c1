//! The local storage component: it has an output side only.

use super::output::{MAX_CONCURRENT, Output};
use super::root;
use super::spec::Spec;
use crate::domain::{Binding, BindingError, ComponentName, FailureKind, InputBinding, OutputBinding};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[derive(Debug)]
struct LocalStorage {
    name: ComponentName,
    output: Output,
}

#[async_trait]
impl Binding for LocalStorage {
    fn name(&self) -> &ComponentName {
        &self.name
    }

    fn input(&self) -> Option<&dyn InputBinding> {
        None
    }

    fn output(&self) -> Option<&dyn OutputBinding> {
        Some(&self.output)
    }

    async fn close(&self) {}
}

/// Creates the folder if it is missing.
///
/// # Errors
/// When the folder cannot be used.
pub(crate) async fn connect(name: ComponentName, spec: Spec) -> Result<Arc<dyn Binding>, BindingError> {
    let Spec { root, max_file_size, .. } = spec;
    let opened = tokio::task::spawn_blocking(move || root::open(&root)).await;
    let root = opened.map_err(|error| {
        BindingError::new(FailureKind::Permanent, "the folder of `rootPath` could not be opened").with_source(error)
    })??;
    let output = Output { root: Arc::new(root), max_file_size, disk: Arc::new(Semaphore::new(MAX_CONCURRENT)) };
    Ok(Arc::new(LocalStorage { name, output }))
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
