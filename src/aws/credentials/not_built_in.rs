//! Ways to log in that the SDK has behind its features and bindd has not: what to do instead. Pure.

/// What to do about a profile whose way to log in is not built in; `None` for any other failure. The SDK says so
/// in its text alone.
pub(super) fn not_built_in(said: &str, profile: &str) -> Option<String> {
    let (way, login) = match feature(said)? {
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

/// The feature of the SDK that a text asks for: "This behavior requires following cargo feature(s) enabled: sso. …".
fn feature(text: &str) -> Option<&str> {
    let named = text.split_once("cargo feature(s) enabled: ")?.1;
    Some(named.split(['.', ',', ' ']).next().unwrap_or(named))
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
        let text = not_built_in(&sdk("sso"), "till").unwrap();
        assert!(text.contains("`aws configure export-credentials --profile till --format process`"), "{text}");
        assert!(text.contains("`aws sso login --profile till`") && !text.contains("cargo"), "{text}");
        let text = not_built_in(&sdk("credentials-login"), "default").unwrap();
        assert!(text.contains("`aws login --profile default`") && text.contains("--format process"), "{text}");
        assert_eq!(not_built_in("profile `till` was not defined", "till"), None);
    }
}
