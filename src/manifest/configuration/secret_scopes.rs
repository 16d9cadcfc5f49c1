//! Which secrets an app may read: `secrets.scopes`. Pure.

/// One entry of `secrets.scopes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretScope {
    /// `storeName`
    pub store: String,
    /// `defaultAccess: deny`
    pub denies_by_default: bool,
    /// `allowedSecrets`: if there are any, no other is allowed.
    pub allowed: Vec<String>,
    /// `deniedSecrets`
    pub denied: Vec<String>,
}

impl SecretScope {
    #[must_use]
    pub fn is_allowed(&self, secret: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|name| name == secret);
        if !self.allowed.is_empty() {
            return is_in(&self.allowed);
        }
        !is_in(&self.denied) && !self.denies_by_default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_outranks_a_deny_list_and_the_default() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (denies_by_default, allowed, denied, expected) in [
            (false, vec![], vec![], [true, true]),
            (true, vec![], vec![], [false, false]),
            (false, vec![], names(&["a"]), [false, true]),
            (true, names(&["a"]), vec![], [true, false]),
            (false, names(&["a"]), names(&["a"]), [true, false]),
        ] {
            let scope = SecretScope { store: "s".to_owned(), denies_by_default, allowed, denied };
            assert_eq!(["a", "b"].map(|name| scope.is_allowed(name)), expected, "{scope:?}");
        }
    }
}
