//! `bindings.localstorage`: reads and writes files below one folder.
//!
//! `spec` reads the component's file, `root` opens the folder, `files` are the operations on it, `output` the requests.
//!
//! Invariant: no request leads out of the folder. Each part of a path is opened in the folder before it and no link is
//! followed, so another process cannot change that between a check and a use. A file is replaced whole or not at all.

mod binding;
mod files;
mod output;
mod root;
mod spec;

pub(super) use binding::connect;
pub(crate) use binding::probe;
pub use spec::Spec;
