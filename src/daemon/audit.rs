//! One log line for each change and each test that the API requests, also for one that is not carried out, or not to its
//! end. No values.

use super::change::{Answer, Change, Write};
use crate::http::Caller;
use std::net::SocketAddr;

/// The target of the lines.
const TARGET: &str = "audit";

/// The outcome of a change that ended with a stop or a panic: it may have been carried out or not.
const UNKNOWN: &str = "unknown";

/// What is known of a change or a test. Its line is written when it is dropped.
#[derive(Debug)]
pub(super) struct Audit {
    action: &'static str,
    component: String,
    peer: Option<SocketAddr>,
    token: &'static str,
    is_persisted: bool,
    /// The names of the fields that the change concerns.
    pub(super) fields: Vec<String>,
    outcome: &'static str,
}

impl Audit {
    pub(super) fn new(change: &Change, caller: Caller) -> Self {
        let (action, name, is_persisted) = match change {
            Change::Write { name, write, options } => {
                let action = match write {
                    Write::Create(_) | Write::CreateConnector(_) => "create",
                    Write::Replace(_) => "replace",
                    Write::Patch(_) => "patch",
                    Write::SetDisabled(true) => "disable",
                    Write::SetDisabled(false) => "enable",
                };
                (action, name, options.persist)
            }
            Change::Delete { name, options } => ("delete", name, options.persist),
            // It may run the `credentialProcess` of a document.
            Change::Check { name, .. } => ("test", name, false),
        };
        let (component, Caller { peer, token }) = (name.clone(), caller);
        Self { action, component, peer, token, is_persisted, fields: Vec::new(), outcome: UNKNOWN }
    }

    pub(super) fn finish(mut self, answer: &Answer) {
        self.outcome = answer.as_ref().map_or_else(|refusal| refusal.kind.code(), |_| "done");
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let peer = self.peer.map_or_else(|| "unix socket".to_owned(), |peer| peer.to_string());
        tracing::info!(
            target: TARGET, action = self.action, component = self.component, peer, token = self.token,
            persist = self.is_persisted, fields = self.fields.join(","), outcome = self.outcome,
            "components API was called for a change or a test"
        );
    }
}
