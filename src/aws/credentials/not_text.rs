//! Variables that the credential sources read and that are not UTF-8 text. The SDK takes one for absent, so another
//! identity than the one that was meant could be used.

use super::sources::Source;
use crate::manifest::Environment;
use aws_credential_types::provider::error::CredentialsError;

/// Checks the variables that a source reads.
///
/// # Errors
/// When one is not UTF-8 text. The error names the variable, never its value.
pub(super) fn check(source: &Source, environment: &dyn Environment) -> Result<(), CredentialsError> {
    match variables(source).into_iter().flatten().find(|name| environment.is_not_text(name)) {
        None => Ok(()),
        Some(name) => Err(CredentialsError::invalid_configuration(format!(
            "the environment variable {name} is not UTF-8 text: set it to a text, or unset it"
        ))),
    }
}

fn variables(source: &Source) -> [&'static [&'static str]; 2] {
    const NONE: &[&str] = &[];
    match source {
        Source::Static(_) | Source::Process(_) => [NONE, NONE],
        Source::Environment => [&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"], NONE],
        Source::Profile { name, file } => [
            if name.is_none() { &["AWS_PROFILE"] } else { NONE },
            if file.is_none() { &["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"] } else { NONE },
        ],
        Source::WebIdentity => [&["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"], NONE],
        Source::Container => [
            &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"],
            &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN"],
        ],
        Source::Imds => [
            &["AWS_EC2_METADATA_DISABLED"],
            &["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"],
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::causes;
    use std::path::PathBuf;

    /// This variable alone is not text.
    struct NotText(&'static str);

    impl Environment for NotText {
        fn get(&self, _: &str) -> Option<String> {
            None
        }

        fn is_not_text(&self, name: &str) -> bool {
            name == self.0
        }
    }

    fn profile(name: Option<&str>, file: Option<&str>) -> Source {
        Source::Profile { name: name.map(str::to_owned), file: file.map(PathBuf::from) }
    }

    #[test]
    fn a_variable_that_is_not_text_fails_its_source_and_is_named() {
        for (source, variable) in [
            (Source::Environment, "AWS_SECRET_ACCESS_KEY"),
            (profile(None, Some("f")), "AWS_PROFILE"),
            (profile(Some("p"), None), "AWS_CONFIG_FILE"),
            (Source::WebIdentity, "AWS_ROLE_ARN"),
            (Source::Container, "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            (Source::Imds, "AWS_EC2_METADATA_DISABLED"),
        ] {
            let error = check(&source, &NotText(variable)).unwrap_err();
            // Only a source that is not set up lets the search go on.
            assert!(matches!(error, CredentialsError::InvalidConfiguration(_)), "{error:?}");
            let text: Vec<String> = causes(&error).map(ToString::to_string).collect();
            assert!(text.join(": ").contains(&format!("{variable} is not UTF-8 text")), "{text:?}");
        }
    }

    #[test]
    fn variables_that_a_source_does_not_read_do_not_matter() {
        check(&Source::Environment, &NotText("AWS_PROFILE")).unwrap();
        check(&profile(Some("p"), Some("f")), &NotText("AWS_PROFILE")).unwrap();
        check(&profile(Some("p"), Some("f")), &NotText("AWS_CONFIG_FILE")).unwrap();
        check(&Source::Process("keys".into()), &NotText("AWS_ACCESS_KEY_ID")).unwrap();
    }
}
