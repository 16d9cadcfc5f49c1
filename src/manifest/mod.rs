//! Reads component files.
//!
//! The daemon and the command line call [`load`] with the folders and files of `--resources-path`. It reads every Dapr
//! `Component` document in them, resolves environment and secret references, and returns the documents, the notices
//! (what was skipped, ignored or changed, with the reason) and the faults. It makes no network call and does not stop at
//! the first fault: one run reports all of them, each with file, document, component, field and what to do. Secrets that
//! need network calls are fetched by the caller between [`read`] and [`ComponentFiles::resolved`].
//!
//! ```text
//! folder ──► split ──► tree ──► document ──► load ──► Document ──► Reader ──► a kind's own spec
//!  files     at ---    YAML,    apiVersion,  filters,              typed getters that gather faults
//!  ≤ 1 MiB             JSON     name, items  references            and report unknown names
//! ```
//!
//! Invariants: only this module knows YAML. No file makes it panic, hang or use unbounded memory (file size, number of
//! documents, expanded aliases and nesting are limited). Values never appear in `Debug`, and values that came through a
//! reference or are read as secrets never appear in a message.
//!
//! Only components of a served type (see `kinds`) can have faults: documents of other kinds and types, and files that
//! are neither YAML nor JSON and name no served type, are skipped with a notice, and their references are not resolved.
//!
//! A data connector (`data_connector`) is read as the Kinesis component that it stands for.
//!
//! A document of kind `Method` is a program that components use by name; its text is part of the content of those.
//!
//! [`FileWatch`] reports changes of the files. What a [`Document`] says is compared by its [`Content`].
//!
//! Where it is stricter than Dapr: a component of a served type that cannot be parsed, or that refers to a variable or
//! secret that does not exist, is a fault instead of a log line, unless the document sets `ignoreErrors`. So is a file
//! without a document, if `--resources-path` names this file.

mod changed;
mod component_file;
mod configuration;
mod connector_document;
mod content;
pub mod data_connector;
mod document;
mod draft;
mod duration;
mod fault;
mod files;
mod folder;
mod kinds;
mod load;
mod masking;
mod method;
mod not_loaded;
mod overrides;
mod patch;
mod raw_document;
mod reader;
mod request;
mod resiliency;
mod resolve;
mod scalar;
mod secret_members;
mod secret_text;
mod secrets;
mod size;
mod split;
mod tree;
mod unfinished;
mod values;
mod wanted;
mod watch;
mod write_yaml;

pub use component_file::{FileError, FileTarget, StagedFile, fits_new_file, remove_document};
pub use configuration::{
    ApiLogging, ComponentRule, ComponentRules, Configuration, ConfigurationError, Feature, HOT_RELOAD,
    MetricsConfiguration, OtelConfiguration, OtelProtocol, SecretScope, TracingConfiguration, load_configuration,
};
pub use content::Content;
pub use document::{Document, log_name};
pub use duration::{InvalidDuration, parse_duration, parse_duration_or_seconds};
pub use fault::{Fault, Faults, Notice, Place, nearest};
pub use files::{ComponentFiles, Loaded};
pub use kinds::{
    CRON, DYNAMODB, HTTP, KINESIS, KUBERNETES, LOCAL_STORAGE, PARAMETER_STORE, SECRETS_MANAGER, is_remote_store,
    is_secret_store, is_served, served_bindings,
};
pub use load::{load, read, read_allowed, read_with};
pub use masking::LostSecret;
pub use method::{Method, Methods};
pub use not_loaded::NotLoaded;
pub use overrides::{Overridden, Overrides, override_file};
pub use patch::WrongPatch;
pub use raw_document::{DocumentFormat, RawDocument};
pub use reader::{ForeignNames, Reader};
pub use request::LoadRequest;
pub use resiliency::{ResiliencyDocument, load_resiliencies};
pub use secret_text::MASK;
pub use size::parse_size;
pub use unfinished::{UNFINISHED, remove_unfinished};
pub use values::{Environment, ProcessEnvironment};
pub use wanted::{FetchFailure, FetchedSecrets, SecretKey, SecretValues, WantedSecret};
pub use watch::FileWatch;
