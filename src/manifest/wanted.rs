//! Secrets of stores that need network calls: which are wanted, and what was fetched.

use super::Document;
use secrecy::SecretString;
use std::collections::HashMap;

/// A secret that a document refers to. It is fetched once, however many values refer to it.
#[derive(Debug, Clone)]
pub struct WantedSecret {
    /// The store's own document, with all of its fields; `None` is the store of Kubernetes that needs no document.
    pub store: Option<Document>,
    pub key: SecretKey,
}

/// Identifies a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretKey {
    /// Name of the store.
    pub store: String,
    /// `metadata.namespace` of the document that refers to it; empty if it has none. Only Kubernetes has namespaces.
    pub namespace: String,
    pub secret: String,
}

/// The keys and values of one secret. `Debug` of the values shows nothing.
pub type SecretValues = HashMap<String, SecretString>;

/// Why a secret was not fetched. Texts name the secret and never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFailure {
    pub problem: String,
    pub remedy: String,
}

/// What was fetched so far.
#[derive(Debug, Default)]
pub struct FetchedSecrets(HashMap<SecretKey, Result<SecretValues, FetchFailure>>);

impl FetchedSecrets {
    pub fn insert(&mut self, key: SecretKey, result: Result<SecretValues, FetchFailure>) {
        self.0.insert(key, result);
    }

    pub(super) fn get(&self, key: &SecretKey) -> Option<&Result<SecretValues, FetchFailure>> {
        self.0.get(key)
    }
}
