//! Environment variables. One with an invalid value is an error: if an invalid token were ignored, the API would be open to
//! everyone.

use super::components_api::ComponentsApiSettings;
use super::model::{DEFAULT_COMPONENT_SOCKETS, DEFAULT_GRPC_IDLE, UsageError};
use crate::manifest::parse_duration;
use secrecy::SecretString;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The value of a variable; `None` if it is not set or empty.
pub(super) fn variable(environment: Environment<'_>, name: &str) -> Result<Option<String>, UsageError> {
    let Some(value) = environment(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| {
        UsageError::wrong(format!("the environment variable {name} is not valid UTF-8: change it or unset it"))
    })
}

/// The token in a variable; `None` if it is not set or empty, as in daprd. Errors do not contain the value.
pub(super) fn token(environment: Environment<'_>, name: &str) -> Result<Option<SecretString>, UsageError> {
    let Some(token) = variable(environment, name)? else { return Ok(None) };
    match token_problem(&token) {
        None => Ok(Some(SecretString::from(token))),
        Some(problem) => Err(UsageError::wrong(format!(
            "the environment variable {name} is not a valid token: {problem}; a header can only carry visible ASCII \
             characters"
        ))),
    }
}

/// The token of the API that changes components, if that is on. It needs one also on loopback, which every process of the
/// machine can reach.
pub(super) fn components_api(
    is_on: bool,
    environment: Environment<'_>,
) -> Result<Option<ComponentsApiSettings>, UsageError> {
    const NAMES: [&str; 2] = ["BINDD_ADMIN_TOKEN", "DAPR_API_TOKEN"];
    if !is_on {
        return Ok(None);
    }
    for variable in NAMES {
        if let Some(token) = token(environment, variable)? {
            return Ok(Some(ComponentsApiSettings { token, variable }));
        }
    }
    Err(UsageError::wrong(
        "--enable-components-api needs a token, as its callers can use every permission of bindd: set the environment \
         variable BINDD_ADMIN_TOKEN (or DAPR_API_TOKEN) to a secret text, and send it in the header dapr-api-token",
    ))
}

/// `DAPR_GRPC_MAX_CONN_IDLE`, such as `3m`.
pub(super) fn grpc_max_idle(environment: Environment<'_>) -> Result<Duration, UsageError> {
    const NAME: &str = "DAPR_GRPC_MAX_CONN_IDLE";
    let Some(text) = variable(environment, NAME)? else { return Ok(DEFAULT_GRPC_IDLE) };
    let idle = parse_duration(&text).ok().filter(|idle| !idle.is_zero());
    idle.ok_or_else(|| {
        UsageError::wrong(format!("the environment variable {NAME} is not a duration above 0, such as 3m"))
    })
}

/// Read as an OS string, because a path need not be UTF-8.
pub(super) fn component_sockets(environment: Environment<'_>) -> PathBuf {
    let folder = environment("DAPR_COMPONENTS_SOCKETS_FOLDER").filter(|path| !path.is_empty());
    folder.map_or_else(|| PathBuf::from(DEFAULT_COMPONENT_SOCKETS), PathBuf::from)
}

/// Why a client could not send this token in a header.
fn token_problem(token: &str) -> Option<&'static str> {
    let is_break = |c: char| c == '\n' || c == '\r';
    if token.ends_with(is_break) {
        Some("it ends with a line break; write it without one, for example with `printf %s` instead of `echo`")
    } else if token.contains(is_break) {
        Some("it contains a line break")
    } else if token.contains(char::is_whitespace) {
        Some("it contains a space or tab")
    } else if token.contains(char::is_control) {
        Some("it contains a control character")
    } else if !token.is_ascii() {
        Some("it contains a character that is not ASCII")
    } else {
        None
    }
}

/// Warnings about values that are valid but probably not intended.
pub(super) fn notices(environment: Environment<'_>) -> Vec<String> {
    let is_empty = |name: &str| environment(name).is_some_and(|value| value.is_empty());
    let tokens = [
        ("DAPR_API_TOKEN", "the API accepts requests without a token"),
        ("APP_API_TOKEN", "no token is sent to the app"),
    ];
    let empty = tokens.iter().filter(|(name, _)| is_empty(name));
    empty.map(|(name, effect)| format!("environment variable {name} is set but empty, so {effect}")).collect()
}

/// The flag, else the variable, else false.
pub(super) fn switch(flag: Option<bool>, environment: Environment<'_>, name: &str) -> Result<bool, UsageError> {
    match flag {
        Some(flag) => Ok(flag),
        None => Ok(variable(environment, name)?.is_some_and(|value| is_true(&value))),
    }
}

fn is_true(value: &str) -> bool {
    ["y", "yes", "t", "true", "on", "1"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

/// The flag, else the variable. An empty flag is the same as no value, and hides the variable.
pub(super) fn or_variable(
    flag: Option<String>,
    environment: Environment<'_>,
    name: &str,
) -> Result<Option<String>, UsageError> {
    match flag {
        Some(flag) => Ok(Some(flag).filter(|flag| !flag.is_empty())),
        None => variable(environment, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_token_that_is_not_visible_ascii_is_an_error() {
        let read = |bytes: &[u8]| token(&|_| Some(OsString::from_vec(bytes.to_vec())), "DAPR_API_TOKEN");
        for good in ["x", "!~", "s3cret-token_with.all/kinds+of=signs", "eyJhbGciOi"] {
            assert_eq!(read(good.as_bytes()).unwrap().unwrap().expose_secret(), good);
        }
        assert!(read(b"").unwrap().is_none());
        assert!(token(&|_| None, "DAPR_API_TOKEN").unwrap().is_none());
        for (bad, problem) in [
            (&b"s3cret\n"[..], "ends with a line break"),
            (b"s3cret\r\n", "ends with a line break"),
            (b"\n", "ends with a line break"),
            (b"s3\ncret", "contains a line break"),
            (b" s3cret", "contains a space"),
            (b"s3 cret", "contains a space"),
            (b"s3cret\t", "contains a space or tab"),
            (b"s3cret\x01", "control character"),
            (b"s3cret\x7f", "control character"),
            ("s3cretö".as_bytes(), "not ASCII"),
            ("s3cret\u{a0}".as_bytes(), "space"),
            (b"s3cret\xff", "not valid UTF-8"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.text.contains(problem) && error.text.contains("DAPR_API_TOKEN"), "{error}");
            assert!(error.code == 2 && !error.text.contains("s3"), "{error}");
        }
    }

    #[test]
    fn the_components_api_needs_a_token_and_the_admin_token_comes_first() {
        let read = |variables: &'static [(&'static str, &'static str)]| {
            let value = move |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).into());
            components_api(true, &value)
        };
        let error = read(&[]).unwrap_err().text;
        assert!(error.contains("set the environment variable BINDD_ADMIN_TOKEN"), "{error}");
        assert_eq!(read(&[("BINDD_ADMIN_TOKEN", "")]).unwrap_err().text, error);
        static BOTH: [(&str, &str); 2] = [("DAPR_API_TOKEN", "a"), ("BINDD_ADMIN_TOKEN", "b")];
        for (variables, token, variable) in [
            (&BOTH[..1], "a", "DAPR_API_TOKEN"),
            (&BOTH[1..], "b", "BINDD_ADMIN_TOKEN"),
            (&BOTH[..], "b", "BINDD_ADMIN_TOKEN"),
        ] {
            let settings = read(variables).unwrap().unwrap();
            assert_eq!((settings.token.expose_secret(), settings.variable), (token, variable));
        }
        assert!(components_api(false, &|_| None).unwrap().is_none());
    }

    #[test]
    fn the_error_for_a_variable_that_is_not_utf8_names_it() {
        let bytes: Environment<'_> = &|_| Some(OsString::from_vec(b"a\xff".to_vec()));
        assert!(variable(bytes, "NAMESPACE").unwrap_err().text.contains("NAMESPACE is not valid UTF-8"));
        assert_eq!(variable(&|_| Some("x".into()), "NAMESPACE"), Ok(Some("x".to_owned())));
        assert_eq!(variable(&|_| Some(OsString::new()), "NAMESPACE"), Ok(None));
    }

    #[test]
    fn the_idle_time_of_grpc_is_a_duration_above_zero() {
        let read = |text: &'static str| grpc_max_idle(&move |_| Some(text.into()));
        assert_eq!((read("1s"), read("")), (Ok(Duration::from_secs(1)), Ok(DEFAULT_GRPC_IDLE)));
        for wrong in ["0s", "-1s", "3", "soon"] {
            assert!(read(wrong).unwrap_err().text.contains("DAPR_GRPC_MAX_CONN_IDLE"), "{wrong}");
        }
    }

    #[test]
    fn an_empty_token_gives_a_warning() {
        let warnings =
            |value: Option<&'static str>| notices(&|name| value.filter(|_| name == "DAPR_API_TOKEN").map(Into::into));
        assert_eq!((warnings(None), warnings(Some("x"))), (vec![], vec![]));
        assert_eq!(
            warnings(Some("")),
            ["environment variable DAPR_API_TOKEN is set but empty, so the API accepts requests without a token"]
        );
    }

    #[test]
    fn the_folder_of_sockets_is_that_of_dapr_unless_the_variable_names_another() {
        let read = |value: Option<&'static str>| {
            component_sockets(&|name| value.filter(|_| name == "DAPR_COMPONENTS_SOCKETS_FOLDER").map(Into::into))
        };
        for (value, folder) in
            [(None, DEFAULT_COMPONENT_SOCKETS), (Some(""), DEFAULT_COMPONENT_SOCKETS), (Some("here"), "here")]
        {
            assert_eq!(read(value), PathBuf::from(folder), "{value:?}");
        }
    }
}
