//! Environment variables. One with an invalid value is an error: if an invalid token were ignored, the API would be open to
//! everyone.

use super::model::UsageError;
use secrecy::SecretString;
use std::ffi::OsString;

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
    fn the_error_for_a_variable_that_is_not_utf8_names_it() {
        let bytes: Environment<'_> = &|_| Some(OsString::from_vec(b"a\xff".to_vec()));
        assert!(variable(bytes, "NAMESPACE").unwrap_err().text.contains("NAMESPACE is not valid UTF-8"));
        assert_eq!(variable(&|_| Some("x".into()), "NAMESPACE"), Ok(Some("x".to_owned())));
        assert_eq!(variable(&|_| Some(OsString::new()), "NAMESPACE"), Ok(None));
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
}
