//! What the API requests of the owner task.

use super::audit::Audit;
use super::catalog::Entry;
use crate::bindings::Checked;
use crate::http::{ChangeOptions, ComponentRefusal};
use crate::manifest::RawDocument;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the owner; a caller beyond this number waits too.
const MAX_REQUESTS: usize = 64;

pub(super) type Answer = Result<Changed, ComponentRefusal>;

/// A request of the API. The owner carries it out also if the caller has gone.
#[derive(Debug)]
pub(super) struct ChangeRequest {
    pub(super) change: Change,
    /// Its line is written however the request ends, also if the owner never takes it.
    pub(super) audit: Audit,
    pub(super) reply: oneshot::Sender<Answer>,
}

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

/// The sides of the queue.
pub(super) fn queue() -> (mpsc::Sender<ChangeRequest>, mpsc::Receiver<ChangeRequest>) {
    mpsc::channel(MAX_REQUESTS)
}
