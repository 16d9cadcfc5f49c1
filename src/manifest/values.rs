//! Values of metadata items: environment variables, booleans and templates.

/// The environment variables that component files refer to.
pub trait Environment {
    /// `None` when the variable is not set or not UTF-8.
    fn get(&self, name: &str) -> Option<String>;

    /// Whether the variable is set to a value that is not UTF-8.
    fn is_not_text(&self, _name: &str) -> bool {
        false
    }
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "component files refer to the environment by name; this is the only place"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn is_not_text(&self, name: &str) -> bool {
        std::env::var_os(name).is_some_and(|value| value.to_str().is_none())
    }
}

/// The booleans of Dapr and YAML 1.1, in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Some(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAllowed {
    #[error("an environment variable's name must not be empty or contain a space")]
    Name,
    #[error("`APP_API_TOKEN`, `BINDD_ADMIN_TOKEN` and variables that begin with `DAPR_` are not passed to components")]
    Reserved,
    #[error("the variable is not in the list of `DAPR_ENV_KEYS`")]
    NotListed,
    #[error("the list of `DAPR_ENV_KEYS` is not UTF-8 text, so no variable is allowed")]
    ListNotText,
}

/// Dapr's rule for `envRef` (its `pkg/runtime/processor/secret`). `DAPR_ENV_KEYS`, if set, lists the allowed variables,
/// separated by spaces.
pub(super) fn check_allowed(name: &str, environment: &dyn Environment) -> Result<(), NotAllowed> {
    if name.is_empty() || name.contains(' ') {
        return Err(NotAllowed::Name);
    }
    check_not_reserved(name)?;
    if environment.is_not_text("DAPR_ENV_KEYS") {
        return Err(NotAllowed::ListNotText);
    }
    let listed = environment.get("DAPR_ENV_KEYS").filter(|keys| !keys.trim().is_empty());
    let known = |keys: String| keys.split_whitespace().any(|key| key.eq_ignore_ascii_case(name));
    if listed.is_none_or(known) { Ok(()) } else { Err(NotAllowed::NotListed) }
}

/// The part of the rule that also applies to the store `secretstores.local.env`.
pub(super) fn check_not_reserved(name: &str) -> Result<(), NotAllowed> {
    let upper = name.to_uppercase();
    let is_reserved = ["APP_API_TOKEN", "BINDD_ADMIN_TOKEN"].contains(&upper.as_str()) || upper.starts_with("DAPR_");
    if is_reserved { Err(NotAllowed::Reserved) } else { Ok(()) }
}

/// The template that is another value each time.
pub(super) const UUID: &str = "{uuid}";

#[derive(Debug, Clone, Copy)]
pub(super) struct Templates<'a> {
    pub(super) app_id: &'a str,
    pub(super) namespace: &'a str,
    pub(super) pod_name: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value refers to {{podName}}, but the environment variable `POD_NAME` is not set")]
pub(super) struct NoPodName;

impl Templates<'_> {
    /// Fills in `{uuid}` (a new one each time), `{appID}`, `{namespace}` (as Dapr: namespace, dot, app id) and
    /// `{podName}`. Inserted text is not expanded again.
    pub(super) fn fill(&self, text: &str) -> Result<String, NoPodName> {
        self.fill_with(text, || uuid::Uuid::new_v4().to_string())
    }

    /// As `fill`, with what `uuid` returns for each `{uuid}`.
    pub(super) fn fill_with(&self, text: &str, uuid: impl Fn() -> String) -> Result<String, NoPodName> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from_brace) = rest.split_at(open);
            filled.push_str(before);
            rest = from_brace;
            if let Some(after) = rest.strip_prefix(UUID) {
                filled.push_str(&uuid());
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{appID}") {
                filled.push_str(self.app_id);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{namespace}") {
                filled.push_str(&format!("{}.{}", self.namespace, self.app_id));
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{podName}") {
                filled.push_str(self.pod_name.ok_or(NoPodName)?);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                filled.push('{');
                rest = after;
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    impl Environment for HashMap<&str, &str> {
        fn get(&self, name: &str) -> Option<String> {
            HashMap::get(self, name).map(|value| (*value).to_owned())
        }
    }

    #[test]
    fn reserved_and_unlisted_variables_are_refused() {
        let open = HashMap::new();
        for (name, refused) in [
            ("", NotAllowed::Name),
            ("A B", NotAllowed::Name),
            ("APP_API_TOKEN", NotAllowed::Reserved),
            ("app_api_token", NotAllowed::Reserved),
            ("BINDD_ADMIN_TOKEN", NotAllowed::Reserved),
            ("dapr_x", NotAllowed::Reserved),
        ] {
            assert_eq!(check_allowed(name, &open), Err(refused), "{name}");
        }
        assert_eq!(check_allowed("KEY", &open), Ok(()));
        let listed = HashMap::from([("DAPR_ENV_KEYS", "ONE TWO")]);
        assert_eq!(check_allowed("TWO", &listed), Ok(()));
        assert_eq!(check_allowed("THREE", &listed), Err(NotAllowed::NotListed));
    }

    #[test]
    fn templates_are_filled_once() {
        let templates = Templates { app_id: "{uuid}", namespace: "prod", pod_name: Some("pod-1") };
        assert_eq!(templates.fill("a-{appID}-{podName}-{x}{").unwrap(), "a-{uuid}-pod-1-{x}{");
        assert_eq!(templates.fill("{namespace}").unwrap(), "prod.{uuid}");
        let two = templates.fill("{uuid}{uuid}").unwrap();
        assert_eq!(two.len(), 72);
        assert_ne!(two[..36], two[36..]);
        let nameless = Templates { pod_name: None, ..templates };
        assert_eq!(nameless.fill("{podName}"), Err(NoPodName));
    }
}
