//! Secret stores that are read by network calls: Kubernetes, AWS Secrets Manager, and the Parameter Store of AWS Systems
//! Manager.
//!
//! [`load`] reads component files, fetches the secrets that they refer to, and returns the documents. `fetch` does this in
//! rounds, since a store's own fields may be secrets of another store. `open` opens a store (`store` is its interface);
//! `kubernetes`, `secrets_manager` and `parameter_store` read one secret each.
//!
//! Invariants: a secret is read once for each load, however many values refer to it. No value of a secret is in an error or
//! a log line.

mod fetch;
mod kubernetes;
mod open;
mod parameter_store;
mod secrets_manager;
mod service_account;
mod store;

pub use fetch::{StoreOptions, load};
pub use kubernetes::KubernetesSpec;
pub(super) use open::check;
pub use parameter_store::ParameterStoreSpec;
pub use secrets_manager::SecretsManagerSpec;

#[cfg(test)]
#[path = "tests/server.rs"]
mod server;
