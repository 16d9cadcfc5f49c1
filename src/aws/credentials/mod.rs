//! The AWS credentials of a component: where they come from, how they are refreshed, and what happens when AWS refuses them.
//!
//! The SDK calls [`CredentialsProvider`] for each request. Keys of a component file are returned as they are. All other
//! credentials have a `CredentialRefresher`, one task that owns their state:
//!
//! ```text
//!  source ───► loader ────────► refresher ─► CredentialState ─► provider ─► each request
//!  environment,  tries sources,     ▲                                          │ refused (ExpiredToken, …)
//!  files, …      assumes roles      └───────────── refusal ◄───────────────────┘ reload, send once more
//! ```
//!
//! Invariants:
//! - A request never waits for a refresh, only for the very first load and for the reload after a refusal.
//! - Credentials stay in use until they expire, however often loading fails.
//! - A shared file that changes is read again within two seconds.
//! - Nothing is signed with a key that no HTTP header can carry (`keys`).
//! - No text shows a secret or a token, and of an access key id at most the last four characters.
//!
//! Why not the SDK's identity cache: it refreshes only when a request needs it, reads the shared files once, keeps
//! credentials that the service refuses, and does not report which sources were tried and why each failed. The sources
//! are the SDK's; each load makes new ones, because a source remembers the files that it has read.

mod keys;
mod loader;
mod provider;
mod refresher;
mod refusal;
mod source;
mod source_error;
mod state;
mod sts;

pub use keys::{CredentialText, check_credential_text};
pub(super) use provider::CredentialsProvider;
pub(super) use refusal::{RefusedCredentials, TrackSigner};
