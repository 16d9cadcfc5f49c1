//! The port through which components are managed while the daemon runs: what a caller asks for, and the answer.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Debug;
use std::net::SocketAddr;

/// Manages components. The daemon implements it; the HTTP API calls it after the caller was authenticated.
#[async_trait]
pub trait ManageComponents: ManageConnectors {
    /// Answers a call. A change goes on to its end also if the future is dropped.
    ///
    /// # Errors
    /// With what is wrong, and what to do about it.
    async fn call(&self, call: ComponentCall, caller: Caller) -> Result<ComponentReply, ComponentRefusal>;
}

/// The same for data connectors, which are the Kinesis outputs in another form.
#[async_trait]
pub trait ManageConnectors: Debug + Send + Sync {
    /// Answers a call. A change goes on to its end also if the future is dropped.
    ///
    /// # Errors
    /// With what is wrong, and what to do about it. The fields of faults are members of the data connector.
    async fn call_connector(&self, call: ConnectorCall, caller: Caller) -> Result<ComponentReply, ComponentRefusal>;
}

/// What a caller asks for about data connectors. Objects are always JSON.
#[derive(Debug, Clone)]
pub enum ConnectorCall {
    List,
    Get {
        id: String,
    },
    Create {
        object: DocumentText,
        options: ChangeOptions,
    },
    /// Changes only the members that the object has.
    Update {
        id: String,
        object: DocumentText,
        options: ChangeOptions,
    },
    Delete {
        id: String,
        options: ChangeOptions,
    },
    /// Checks an object, and tries what it needs, without running it.
    Test {
        object: DocumentText,
    },
    /// The same for a data connector that exists.
    TestExisting {
        id: String,
    },
}

/// What a caller asks for.
#[derive(Debug, Clone)]
pub enum ComponentCall {
    /// All components, or those of one `spec.type`.
    List {
        component_type: Option<String>,
    },
    Get {
        name: String,
    },
    /// What a component does at this moment.
    Status {
        name: String,
    },
    Create {
        document: DocumentText,
        options: ChangeOptions,
    },
    /// Creates the component, or replaces its whole document.
    Replace {
        name: String,
        document: DocumentText,
        options: ChangeOptions,
    },
    /// Replaces items of `spec.metadata` by name, and `disabled`.
    Patch {
        name: String,
        patch: DocumentText,
        options: ChangeOptions,
    },
    SetDisabled {
        name: String,
        disabled: bool,
        options: ChangeOptions,
    },
    Delete {
        name: String,
        options: ChangeOptions,
    },
    /// Checks a document, and tries what it needs, without running it.
    Test {
        document: DocumentText,
    },
    /// The same for a component that exists.
    TestExisting {
        name: String,
    },
}

/// A document as it was sent. It may have secrets, so `Debug` shows only its length.
#[derive(Clone)]
pub struct DocumentText {
    pub text: Bytes,
    /// YAML instead of JSON.
    pub is_yaml: bool,
}

impl Debug for DocumentText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentText").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// How a change is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeOptions {
    /// The entity tags of `If-Match`; the change is refused unless the component exists and has one of them, or one is `*`.
    pub if_match: Option<String>,
    /// The entity tags of `If-None-Match`; the change is refused if the component exists and has one of them, or one is `*`.
    pub if_none_match: Option<String>,
    /// Whether the change is also written into the resources folder.
    pub persist: bool,
}

/// Who calls, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The environment variable with the token that the caller has sent.
    pub token: &'static str,
}

/// How a call succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    Done,
    Created,
    Deleted,
}

/// The answer to a call that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentReply {
    pub success: Success,
    /// The name of the component, where the call is about one.
    pub name: Option<String>,
    /// The entity tag of its document, without quotes.
    pub etag: Option<String>,
    /// Without secrets. `None` if there is nothing to say.
    pub body: Option<Value>,
}

/// A part of a document that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentFault {
    /// Empty if it is about the whole document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    pub problem: String,
    pub remedy: String,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The document is wrong.
    Invalid,
    NotFound,
    /// A component of this name exists.
    Exists,
    /// `If-Match` or `If-None-Match` does not hold.
    Precondition,
    /// The files do not allow it.
    Conflict,
    /// Other components would have faults.
    InUse,
    TooLarge,
    /// As many documents are kept as may be.
    Full,
    /// The new component cannot be connected, or its service refuses it.
    Unusable,
    /// The same, because it did not answer in time.
    TimedOut,
    /// A test of a data connector failed.
    TestFailed,
    /// The document cannot be written.
    NotWritten,
    /// The daemon is stopping.
    Stopping,
}

impl RefusalKind {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::TestFailed => 406,
            Self::Exists | Self::Conflict | Self::InUse => 409,
            Self::Precondition => 412,
            Self::TooLarge => 413,
            Self::NotWritten => 500,
            Self::Unusable => 502,
            Self::Stopping => 503,
            Self::TimedOut => 504,
            Self::Full => 507,
        }
    }

    /// `errorCode` in the response.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "ERR_COMPONENT_INVALID",
            Self::NotFound => "ERR_COMPONENT_NOT_FOUND",
            Self::Exists => "ERR_COMPONENT_EXISTS",
            Self::Precondition => "ERR_PRECONDITION_FAILED",
            Self::Conflict => "ERR_COMPONENT_CONFLICT",
            Self::InUse => "ERR_COMPONENT_IN_USE",
            Self::TooLarge => "ERR_COMPONENT_TOO_LARGE",
            Self::Full => "ERR_COMPONENTS_FULL",
            Self::Unusable | Self::TimedOut => "ERR_COMPONENT_UNUSABLE",
            Self::TestFailed => "ERR_COMPONENT_TEST_FAILED",
            Self::NotWritten => "ERR_COMPONENT_NOT_WRITTEN",
            Self::Stopping => "ERR_STOPPING",
        }
    }
}

/// A call that was refused. Texts contain no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRefusal {
    pub kind: RefusalKind,
    pub message: String,
    pub faults: Vec<DocumentFault>,
}

impl ComponentRefusal {
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), faults: Vec::new() }
    }

    /// For a document with these faults; the message has all of them.
    #[must_use]
    pub fn invalid(faults: Vec<DocumentFault>) -> Self {
        let shown = |fault: &DocumentFault| match fault.field.as_str() {
            "" => format!("{}; {}", fault.problem, fault.remedy),
            field => format!("field `{field}`: {}; {}", fault.problem, fault.remedy),
        };
        let message = faults.iter().map(shown).collect::<Vec<_>>().join("\n");
        Self { kind: RefusalKind::Invalid, message, faults }
    }
}
