//! Who a component is towards AWS: finding credentials, keeping them fresh, replacing those that were refused.
//!
//! `connect` makes [`Identities`], which the SDK asks for each call. Keys of a component file are answered as they are.
//! Everything else has a keeper, one task that owns the state:
//!
//! ```text
//!  sources ─► sts (roles) ─► keeper ─► standing ─► Identities ─► each call
//!  environment, files,        loads      held         ▲             │ refused (ExpiredToken, …)
//!  web identity, container,   again      missing      └── refusal ◄─┘ reload once, then that call once more
//!  instance, process
//! ```
//!
//! Whatever a source gives passes `key_text` first: nothing is signed with a key that no HTTP header can carry.
//!
//! Laws: a call never waits for a refresh, only for the very first load and after a refusal. What is held stays until its
//! real expiry, however often loading fails. A file that changes is read again within two seconds. No text names a key,
//! a token or a secret; the last four letters of the access key's id are the most that is shown.
//!
//! Why not the SDK's own cache: it refreshes only when a call needs it, reads the shared files once for ever, keeps an
//! identity that the service refuses, and tells neither which sources were asked nor what they said. Its sources are
//! used; a new one for each load, because it is the source that remembers the files.

mod files;
mod identities;
mod keeper;
mod key_text;
mod not_built_in;
mod not_text;
mod refusal;
mod sources;
mod standing;
mod sts;

pub(super) use identities::{Identities, Surroundings};
pub use key_text::{KeyText, key_text};
pub(super) use refusal::{NeverSent, NoteSigner, RefusedIdentity};
pub(super) use standing::NoCredentials;
