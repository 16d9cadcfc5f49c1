//! Names of operations, which live as long as the process: hosts and metrics keep them so.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Bytes of one name.
const MAX_NAME: usize = 100;
/// Names of one component.
const MAX_LISTED: usize = 100;
/// Different names of all components that ever ran in this process; so much memory at most is never returned.
const MAX_NAMES: usize = 10_000;

static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// # Errors
/// When there are too many, or one is too long; with the reason.
pub(super) fn keep(listed: &[String]) -> Result<Vec<&'static str>, String> {
    if listed.len() > MAX_LISTED {
        return Err(format!("it lists {} operations, more than {MAX_LISTED}", listed.len()));
    }
    if listed.iter().any(|name| name.len() > MAX_NAME) {
        return Err(format!("it lists an operation whose name is longer than {MAX_NAME} bytes"));
    }
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kept = Vec::with_capacity(listed.len());
    for name in listed {
        if let Some(known) = names.get(name.as_str()) {
            kept.push(*known);
            continue;
        }
        if names.len() >= MAX_NAMES {
            return Err(format!("the process has seen {MAX_NAMES} names of operations; restart it"));
        }
        let name: &'static str = Box::leak(name.clone().into_boxed_str());
        names.insert(name);
        kept.push(name);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_excess_is_refused() {
        let listed = ["send".to_owned(), "drop".to_owned()];
        let (first, second) = (keep(&listed).unwrap(), keep(&listed).unwrap());
        assert_eq!(first, ["send", "drop"]);
        assert!(first.iter().zip(second).all(|(one, other)| std::ptr::eq(*one, other)));
        assert!(keep(&vec!["x".to_owned(); MAX_LISTED + 1]).unwrap_err().contains("101 operations"));
        assert!(keep(&["x".repeat(MAX_NAME + 1)]).unwrap_err().contains("longer than 100"));
    }
}
