//! What the API requests of the owner task.

use super::catalog::Entry;
use crate::bindings::Checked;
use crate::http::{ChangeOptions, ComponentRefusal};
use crate::manifest::RawDocument;

pub(super) type Answer = Result<Changed, ComponentRefusal>;

#[derive(Debug)]
pub(super) enum Change {
    Write {
        name: String,
        write: Write,
        options: ChangeOptions,
    },
    Delete {
        name: String,
        options: ChangeOptions,
    },
    /// Reads and checks a document as a new one would be; `None` is the one that runs. Nothing changes.
    Check {
        name: String,
        document: Option<RawDocument>,
    },
}

/// What a component is to be.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Create(RawDocument),
    /// The same for the component of a data connector, of which there may be only so many.
    CreateConnector(RawDocument),
    Replace(RawDocument),
    Patch(RawDocument),
    SetDisabled(bool),
}

#[derive(Debug)]
pub(super) enum Changed {
    /// With the component as this change has left it.
    Written {
        entry: Box<Entry>,
        is_new: bool,
        warnings: Vec<String>,
    },
    Deleted,
    Checked(Box<Checked>),
}
