//! Dead letters: records that finally failed, with the error. `content` is their JSON, the same from outputs and inputs;
//! `target` writes it to another output component (`deadLetterBinding`), `folder` to a file (`deadLetterFolder`).

mod binding_store;
mod content;
mod copy_memory;
#[cfg(test)]
#[path = "tests/fixtures.rs"]
mod fixtures;
mod folder;
mod output;
mod oversize_store;
mod target;

pub(super) use binding_store::BindingStore;
pub(super) use folder::FolderStore;
pub(super) use output::{DEAD_LETTER_TIMEOUT, DeadLetter};
pub(super) use oversize_store::OversizeStore;
