//! Component files in, checked words out.
//!
//! `components` and the daemon's `check` call [`load`] with the folders and files of `--resources-path`. It reads every
//! Dapr `Component` document that it finds there, resolves environment and secret references, and gives the documents, the
//! notices (things left out or odd, with the reason) and the faults. Nothing is contacted and nothing stops at the
//! first fault: one run shows all of them, each with file, document, component, field and what to do.
//!
//! ```text
//! folder ──► split ──► tree ──► document ──► load ──► Document ──► Reader ──► a kind's own spec
//!  files     at ---    YAML,    apiVersion,  filters,              typed getters that gather faults
//!  ≤ 1 MiB             JSON     name, items  references            and report names nobody read
//! ```
//!
//! Laws: this is the only room that knows YAML. No bytes on disk make it panic, hang or eat memory without bound
//! (file size, document count, expanded aliases and nesting are all capped). Values never appear in `Debug`, and
//! values that came through a reference or are read as secrets never appear in a message.
//!
//! Only components of a served type (see `kinds`) can have faults: documents of other kinds and types, and texts of a
//! folder that do not even claim to be such a component, are skipped with a notice, and nothing in them is resolved.
//!
//! Where it is stricter than Dapr: a component of a served type that cannot be parsed, or that refers to a variable or
//! secret that is not there, is a fault instead of a log line, unless the document says `ignoreErrors`. So is a file that
//! was named itself and gives no document.

mod document;
mod duration;
mod fault;
mod folder;
mod kinds;
mod load;
mod reader;
mod resolve;
mod secrets;
mod size;
mod split;
mod tree;
mod values;

pub use document::Document;
pub use duration::{InvalidDuration, parse_duration, parse_duration_or_seconds};
pub use fault::{Fault, Faults, Notice, Place, nearest};
pub use kinds::{DYNAMODB, KINESIS};
pub use load::{LoadRequest, Loaded, load};
pub use reader::{ForeignNames, Reader};
pub use secrets::is_local_store;
pub use size::parse_size;
pub use values::{Environment, ProcessEnvironment};
