//! Variables of the environment. One that cannot be used as it is set stops the start: taken for absent, a token would
//! leave the API open.

use super::model::UsageError;
use secrecy::SecretString;
use std::ffi::OsString;

/// Looks up a variable of the environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The variable's text; `None` when it is not set or empty.
pub(super) fn variable(environment: Environment<'_>, name: &str) -> Result<Option<String>, UsageError> {
    let Some(value) = environment(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| {
        UsageError::wrong(format!("the environment variable {name} is not UTF-8 text: set it to a text, or unset it"))
    })
}

/// The token in a variable; `None` when it is not set or empty, as in daprd. Never shows the value.
pub(super) fn token(environment: Environment<'_>, name: &str) -> Result<Option<SecretString>, UsageError> {
    let Some(value) = environment(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.to_str();
    match text.map_or(Some("it is not UTF-8 text"), token_problem) {
        None => Ok(text.map(SecretString::from)),
        Some(problem) => Err(UsageError::wrong(format!(
            "the environment variable {name} cannot be used as a token: {problem}; only visible ASCII characters can be \
             sent in a header"
        ))),
    }
}

/// What makes a text unfit for a header, where a client would have to send it.
fn token_problem(token: &str) -> Option<&'static str> {
    let is_break = |c: char| c == '\n' || c == '\r';
    if token.ends_with(is_break) {
        Some("it ends with a line break; write it without one, as by `printf %s` in place of `echo`")
    } else if token.contains(is_break) {
        Some("it holds a line break")
    } else if token.contains(char::is_whitespace) {
        Some("it holds a space or tab")
    } else if token.contains(char::is_control) {
        Some("it holds a control character")
    } else if !token.is_ascii() {
        Some("it holds a character that is not ASCII")
    } else {
        None
    }
}

/// What is worth a warning although it is allowed.
pub(super) fn notices(environment: Environment<'_>) -> Vec<String> {
    let is_empty = |name: &str| environment(name).is_some_and(|value| value.is_empty());
    let tokens = [
        ("DAPR_API_TOKEN", "the API takes requests without a token"),
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
    fn tokens_are_visible_ascii_or_stop_the_start() {
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
            (b"s3\ncret", "holds a line break"),
            (b" s3cret", "holds a space"),
            (b"s3 cret", "holds a space"),
            (b"s3cret\t", "holds a space or tab"),
            (b"s3cret\x01", "control character"),
            (b"s3cret\x7f", "control character"),
            ("s3cretö".as_bytes(), "not ASCII"),
            ("s3cret\u{a0}".as_bytes(), "space"),
            (b"s3cret\xff", "not UTF-8"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.text.contains(problem) && error.text.contains("DAPR_API_TOKEN"), "{error}");
            assert!(error.code == 2 && !error.text.contains("s3"), "{error}");
        }
    }

    #[test]
    fn a_variable_that_is_not_text_is_named() {
        let bytes: Environment<'_> = &|_| Some(OsString::from_vec(b"a\xff".to_vec()));
        assert!(variable(bytes, "NAMESPACE").unwrap_err().text.contains("NAMESPACE is not UTF-8"));
        assert_eq!(variable(&|_| Some("x".into()), "NAMESPACE"), Ok(Some("x".to_owned())));
        assert_eq!(variable(&|_| Some(OsString::new()), "NAMESPACE"), Ok(None));
    }

    #[test]
    fn an_empty_token_is_worth_a_warning() {
        let told =
            |value: Option<&'static str>| notices(&|name| value.filter(|_| name == "DAPR_API_TOKEN").map(Into::into));
        assert_eq!((told(None), told(Some("x"))), (vec![], vec![]));
        assert_eq!(
            told(Some("")),
            ["environment variable DAPR_API_TOKEN is set but empty, so the API takes requests without a token"]
        );
    }
}
