//! The two local secret stores: the environment, and a JSON file.

use super::kinds::LOCAL_ENV;
use super::values::{Environment, check_not_reserved};
use super::wanted::SecretValues;
use super::{Document, Fault, Faults, Notice, Reader, folder, tree};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// An opened store. `Debug` shows no secret and no name of one.
pub(super) enum Store<'e> {
    /// Variables whose names begin with the prefix.
    Variables { prefix: String, environment: &'e dyn Environment },
    /// Secrets by name, each with its keys.
    File { secrets: HashMap<String, HashMap<String, SecretString>>, separator: String, multi_valued: bool },
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variables { prefix, .. } => {
                f.debug_struct("Variables").field("prefix", prefix).finish_non_exhaustive()
            }
            Self::File { secrets, .. } => f.debug_tuple("File").field(&secrets.len()).finish(),
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretError {
    #[error("the environment variable `{0}` is not set or empty")]
    Variable(String),
    #[error("the environment variable `{0}` is not UTF-8 text")]
    NotText(String),
    #[error("`APP_API_TOKEN`, `BINDD_ADMIN_TOKEN` and variables that begin with `DAPR_` are not passed to components")]
    Reserved,
    #[error("the store has no secret `{0}`")]
    Secret(String),
    #[error("the secret `{secret}` has no key `{key}`")]
    Key { secret: String, key: String },
    #[error("the secret `{secret}` has no key `{key}`")]
    FetchedKey { secret: String, key: String },
    #[error("the secret `{0}` is empty")]
    Empty(String),
    #[error("the store has no secret `{secret}`, because each nested value has its own name")]
    Nested { secret: String, path: String },
    #[error("the store has no secret `{path}`, because it is `multiValued`")]
    MultiValued { path: String, secret: String, key: String },
}

impl<'e> Store<'e> {
    /// Opens the store of a document. The file is read once, relative to the working directory as in Dapr.
    pub(super) fn open(document: &Document, environment: &'e dyn Environment) -> (Option<Self>, Faults, Vec<Notice>) {
        let mut reader = Reader::new(document);
        let store = if document.component_type.eq_ignore_ascii_case(LOCAL_ENV) {
            let prefix = reader.text("prefix").unwrap_or_default();
            Some(Self::Variables { prefix, environment })
        } else {
            let file = reader.required_text("secretsFile");
            let separator = reader.text("nestedSeparator").unwrap_or_else(|| ":".to_owned());
            let multi_valued = reader.boolean("multiValued").unwrap_or(false);
            let secrets = file.map(|file| read_secrets(Path::new(&file), &separator, multi_valued));
            match secrets {
                Some(Ok(secrets)) => Some(Self::File { secrets, separator, multi_valued }),
                Some(Err((problem, remedy))) => {
                    reader.fault("secretsFile", problem, remedy);
                    None
                }
                None => None,
            }
        };
        let (faults, notices) = reader.finish();
        (store.filter(|_| faults.is_empty()), faults, notices)
    }

    /// One value of one secret.
    pub(super) fn get(&self, secret: &str, key: &str) -> Result<SecretString, SecretError> {
        use secrecy::ExposeSecret;
        match self {
            Self::Variables { prefix, environment } => {
                let variable = format!("{prefix}{secret}");
                check_not_reserved(&variable).map_err(|_| SecretError::Reserved)?;
                if environment.is_not_text(&variable) {
                    return Err(SecretError::NotText(variable));
                }
                let value = environment.get(&variable).filter(|value| !value.is_empty());
                value.map(SecretString::from).ok_or(SecretError::Variable(variable))
            }
            Self::File { secrets, .. } => {
                let keys = secrets.get(secret).ok_or_else(|| self.missing_secret(secret, key))?;
                let missing_key = || SecretError::Key { secret: secret.to_owned(), key: key.to_owned() };
                let value = keys.get(key).ok_or_else(missing_key)?;
                if value.expose_secret().is_empty() {
                    Err(SecretError::Empty(secret.to_owned()))
                } else {
                    Ok(value.clone())
                }
            }
        }
    }
}

impl Store<'_> {
    /// The error for a secret that does not exist. It says so if the other form of reference would find it: nested values
    /// have one name with `multiValued: false`, and a name and a key with `multiValued: true`.
    fn missing_secret(&self, secret: &str, key: &str) -> SecretError {
        let Self::File { secrets, separator, multi_valued } = self else {
            return SecretError::Secret(secret.to_owned());
        };
        let below = format!("{secret}{separator}");
        if !multi_valued && secrets.keys().any(|path| path.starts_with(&below)) {
            let path = format!("{below}{key}");
            let path = if secrets.contains_key(&path) { path } else { format!("{below}KEY") };
            return SecretError::Nested { secret: secret.to_owned(), path };
        }
        let split = secret.split_once(separator.as_str()).filter(|_| *multi_valued && !separator.is_empty());
        match split {
            Some((name, below)) if secrets.get(name).is_some_and(|keys| keys.contains_key(below)) => {
                SecretError::MultiValued { path: secret.to_owned(), secret: name.to_owned(), key: below.to_owned() }
            }
            Some(_) | None => SecretError::Secret(secret.to_owned()),
        }
    }
}

/// One value of a secret that was fetched.
pub(super) fn value_of(values: &SecretValues, secret: &str, key: &str) -> Result<SecretString, SecretError> {
    use secrecy::ExposeSecret;
    let value = values.get(key);
    let value = value.ok_or_else(|| SecretError::FetchedKey { secret: secret.to_owned(), key: key.to_owned() })?;
    if value.expose_secret().is_empty() { Err(SecretError::Empty(secret.to_owned())) } else { Ok(value.clone()) }
}

/// Problem and remedy.
type Problem = (String, &'static str);

fn read_secrets(
    path: &Path,
    separator: &str,
    multi_valued: bool,
) -> Result<HashMap<String, HashMap<String, SecretString>>, Problem> {
    let text = folder::read_text(path).map_err(|error| (format!("{}: {error}", path.display()), error.remedy()))?;
    let tree =
        tree::from_json(&text).map_err(|error| (format!("{}: {error}", path.display()), "write a JSON object"))?;
    let Value::Object(secrets) = tree else {
        return Err((format!("{}: this is not a JSON object", path.display()), "write names and values in `{ }`"));
    };
    if multi_valued {
        let keys_of = |(name, value): (String, Value)| {
            let mut keys = HashMap::new();
            match value {
                Value::Object(_) | Value::Array(_) => flatten(&value, "", separator, &mut keys),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    flatten(&value, &name, separator, &mut keys);
                }
            }
            (name, keys)
        };
        return Ok(secrets.into_iter().map(keys_of).collect());
    }
    let mut flat = HashMap::new();
    flatten(&Value::Object(secrets), "", separator, &mut flat);
    Ok(flat.into_iter().map(|(path, value)| (path.clone(), HashMap::from([(path, value)]))).collect())
}

/// Adds every leaf by its path. The JSON parser limits the depth (128).
fn flatten(value: &Value, path: &str, separator: &str, into: &mut HashMap<String, SecretString>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}{separator}{name}") };
    let leaf = match value {
        Value::Object(map) => {
            return map.iter().for_each(|(name, value)| flatten(value, &below(name), separator, into));
        }
        Value::Array(list) => {
            let numbered = list.iter().enumerate();
            return numbered.for_each(|(index, value)| flatten(value, &below(&index.to_string()), separator, into));
        }
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
    };
    into.insert(path.to_owned(), SecretString::from(leaf));
}

/// The fault of an item whose secret was not found.
pub(super) fn fault_of(missing: &SecretError, document: &Fault, store: &str) -> Fault {
    let remedy = match missing {
        SecretError::Variable(_) => "set it before the daemon starts".to_owned(),
        SecretError::NotText(_) => "set it to UTF-8 text".to_owned(),
        SecretError::Nested { path, .. } => {
            format!("write `name: {path}` without `key`, or set `multiValued: \"true\"` in the secret store `{store}`")
        }
        SecretError::MultiValued { secret, key, .. } => format!("write `name: {secret}` and `key: {key}`"),
        SecretError::Reserved => "put the secret under another name".to_owned(),
        SecretError::Key { .. } => "correct `secretKeyRef.key`; without `multiValued` leave it out".to_owned(),
        SecretError::FetchedKey { .. } => format!("correct `secretKeyRef.key`, or add the key in the store `{store}`"),
        SecretError::Secret(_) | SecretError::Empty(_) => format!("add it to the secret store `{store}`"),
    };
    Fault { problem: missing.to_string(), remedy, ..document.clone() }
}
