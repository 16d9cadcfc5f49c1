//! Why a source has no credentials, in one line with a remedy. Pure. Several of the SDK's errors are known by their texts
//! alone.

use crate::domain::causes;
use aws_credential_types::provider::error::CredentialsError;
use std::path::Path;

/// The longest reason, in characters.
const MAX_REASON: usize = 400;

const UNSENDABLE_CONTAINER_TOKEN: &str = "the token of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or \
                                          AWS_CONTAINER_AUTHORIZATION_TOKEN has a line break or another character that \
                                          cannot be sent: remove that character";
/// For keys that the SDK could not send. It signs with the keys of a source profile before they can be checked here: it
/// fails on a token that no HTTP header can carry, and panics on such an access key id.
pub(super) const UNSENDABLE: &str = "a key or token of this source cannot be sent: it has a control character or a \
                                     non-ASCII character inside, copy it again exactly";

/// The causes of an error, from the outside in, each once.
pub(super) fn reason(error: &CredentialsError) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes(error).skip(1) {
        let text = cause.to_string();
        // Many of the SDK's errors repeat their cause in their own text.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    if parts.is_empty() {
        // The SDK's text for this is "the credential provider was not enabled".
        let is_absent = matches!(error, CredentialsError::CredentialsNotLoaded(_));
        parts.push(if is_absent { "not set up".to_owned() } else { error.to_string() });
    }
    let text = parts.join(": ");
    if text.contains("invalid header value") {
        UNSENDABLE.to_owned()
    } else if text.contains("auth token could not be used as an HTTP header") {
        UNSENDABLE_CONTAINER_TOKEN.to_owned()
    } else {
        one_line(&text)
    }
}

/// A text without control characters, cut to a length that can be shown.
pub(super) fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.trim().to_owned(),
    }
}

pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> String {
    format!("the file {} cannot be read: {error}", file.display())
}

/// The remedy for a profile whose kind of login needs a cargo feature of the SDK that is not built in; `None` for any other
/// reason.
pub(super) fn missing_feature(reason: &str, profile: &str) -> Option<String> {
    // "This behavior requires following cargo feature(s) enabled: sso. …"
    let named = reason.split_once("cargo feature(s) enabled: ")?.1;
    let (way, login) = match named.split(['.', ',', ' ']).next().unwrap_or(named) {
        "sso" => ("IAM Identity Center (SSO)", "aws sso login"),
        "credentials-login" => ("a login session of the AWS CLI", "aws login"),
        _ => ("a way that only the AWS CLI has", "the AWS CLI"),
    };
    Some(format!(
        "profile `{profile}` logs in by {way}, which is not built in: set `credentialProcess` to `aws configure \
         export-credentials --profile {profile} --format process` in the component's metadata, and log in with `{login} \
         --profile {profile}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_needs_a_feature_gets_the_command_instead() {
        let sdk = |feature: &str| {
            format!(
                "ProfileFile provider could not be built: This behavior requires following cargo feature(s) enabled: \
                 {feature}. In order to"
            )
        };
        let text = missing_feature(&sdk("sso"), "till").unwrap();
        assert!(text.contains("`aws configure export-credentials --profile till --format process`"), "{text}");
        assert!(text.contains("`aws sso login --profile till`") && !text.contains("cargo"), "{text}");
        let text = missing_feature(&sdk("credentials-login"), "default").unwrap();
        assert!(text.contains("`aws login --profile default`") && text.contains("--format process"), "{text}");
        assert_eq!(missing_feature("profile `till` was not defined", "till"), None);
    }

    #[test]
    fn a_reason_is_one_short_line_of_the_causes() {
        let error = CredentialsError::provider_error(format!("first\nsecond {}", "x".repeat(MAX_REASON)));
        let text = reason(&error);
        assert!(text.starts_with("first second x") && text.ends_with('…'), "{text}");
        assert_eq!(text.chars().count(), MAX_REASON + 1);
    }
}
