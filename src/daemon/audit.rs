//! One log line for each change and each test that the API requests. No values.

use super::change::{Answer, Change, Write};
use crate::http::Caller;
use std::net::SocketAddr;

/// The target of the lines.
const TARGET: &str = "audit";

/// What is known of a change or a test.
#[derive(Debug)]
pub(super) struct Audit {
    action: &'static str,
    component: String,
    peer: Option<SocketAddr>,
    token: &'static str,
    is_persisted: bool,
    /// The names of the fields that the change concerns.
    pub(super) fields: Vec<String>,
}

impl Audit {
    pub(super) fn new(change: &Change, caller: Caller) -> Self {
        let (action, name, is_persisted) = match change {
            Change::Write { name, write, options } => {
                let action = match write {
                    Write::Create(_) => "create",
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
        Self { action, component, peer, token, is_persisted, fields: Vec::new() }
    }

    pub(super) fn log(&self, answer: &Answer) {
        let peer = self.peer.map_or_else(|| "unix socket".to_owned(), |peer| peer.to_string());
        let outcome = answer.as_ref().map_or_else(|refusal| refusal.kind.code(), |_| "done");
        tracing::info!(
            target: TARGET, action = self.action, component = self.component, peer, token = self.token,
            persist = self.is_persisted, fields = self.fields.join(","), outcome, "components API was called for a change or a test"
        );
    }
}
