//! The places that credentials come from: their names, and the files and variables that each of them reads.

use super::super::settings::{IdentitySource, StaticCredentials};
use crate::manifest::{Environment, ProcessEnvironment};
use aws_credential_types::provider::error::CredentialsError;
use secrecy::SecretString;
use std::path::{Path, PathBuf};

pub(super) const ENVIRONMENT: &str = "environment";
pub(super) const COMPONENT_FILE: &str = "component file";

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Keys of the component file.
    Static(StaticCredentials),
    Environment,
    Profile {
        name: Option<String>,
        file: Option<PathBuf>,
    },
    WebIdentity,
    Container,
    Imds,
    Process(SecretString),
}

impl Source {
    /// The sources of a component's settings, in the order in which they are tried.
    pub(super) fn all(source: &IdentitySource, name: Option<&str>, file: Option<&Path>) -> Vec<Self> {
        let profile = || Self::Profile { name: name.map(str::to_owned), file: file.map(Path::to_owned) };
        match source {
            IdentitySource::Chain if name.is_some() || file.is_some() => vec![profile()],
            IdentitySource::Chain => {
                vec![Self::Environment, profile(), Self::WebIdentity, Self::Container, Self::Imds]
            }
            IdentitySource::Environment => vec![Self::Environment],
            IdentitySource::Profile => vec![profile()],
            IdentitySource::WebIdentity => vec![Self::WebIdentity],
            IdentitySource::Container => vec![Self::Container],
            IdentitySource::Imds => vec![Self::Imds],
            IdentitySource::Process(command) => vec![Self::Process(command.clone())],
        }
    }

    /// As error texts and logs show it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Static(_) => COMPONENT_FILE.to_owned(),
            Self::Environment => ENVIRONMENT.to_owned(),
            Self::Profile { name: None, file: None } => "shared files".to_owned(),
            Self::Profile { name, file } => {
                let name = name.as_deref().unwrap_or("default");
                let file = file.as_ref().map(|file| format!(" of {}", file.display())).unwrap_or_default();
                format!("profile `{name}`{file}")
            }
            Self::WebIdentity => "web identity".to_owned(),
            Self::Container => "container".to_owned(),
            Self::Imds => "instance metadata".to_owned(),
            Self::Process(_) => "credential process".to_owned(),
        }
    }

    /// The files that are watched: when one of them changes, this source is read again.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Profile { file: Some(file), .. } => vec![file.clone()],
            Self::Profile { file: None, .. } => {
                [("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")]
                    .into_iter()
                    .filter_map(|(variable, name)| shared_file(variable, name))
                    .collect()
            }
            Self::Static(_)
            | Self::Environment
            | Self::WebIdentity
            | Self::Container
            | Self::Imds
            | Self::Process(_) => Vec::new(),
        }
    }

    /// Refuses variables that this source reads and that are not UTF-8 text. The SDK takes such a variable for absent, and
    /// then another identity than the intended one could be used. The error names the variable, never its value.
    pub(super) fn check_variables(&self, environment: &dyn Environment) -> Result<(), CredentialsError> {
        match self.variables().find(|name| environment.is_not_text(name)) {
            None => Ok(()),
            Some(name) => Err(CredentialsError::invalid_configuration(format!(
                "the environment variable {name} is not UTF-8 text: set it to a text, or unset it"
            ))),
        }
    }

    fn variables(&self) -> impl Iterator<Item = &'static str> {
        let names: [&str; 2] = match self {
            Self::Static(_) | Self::Process(_) => ["", ""],
            Self::Environment => ["AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN", ""],
            Self::Profile { name, file } => [
                if name.is_none() { "AWS_PROFILE" } else { "" },
                if file.is_none() { "AWS_SHARED_CREDENTIALS_FILE AWS_CONFIG_FILE" } else { "" },
            ],
            Self::WebIdentity => ["AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME", ""],
            Self::Container => [
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_CONTAINER_AUTHORIZATION_TOKEN",
            ],
            Self::Imds => [
                "AWS_EC2_METADATA_DISABLED",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
            ],
        };
        names.into_iter().flat_map(str::split_ascii_whitespace)
    }
}

/// A variable of the environment that is not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    ProcessEnvironment.get(name).filter(|value| !value.is_empty())
}

/// A shared file: the one that the variable names, else the one in the home folder.
fn shared_file(name: &str, file: &str) -> Option<PathBuf> {
    let home = || variable("HOME").or_else(|| variable("USERPROFILE")).map(|home| Path::new(&home).join(".aws"));
    variable(name).map(PathBuf::from).or_else(|| home().map(|folder| folder.join(file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::causes;

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
            let error = source.check_variables(&NotText(variable)).unwrap_err();
            // Only a source that is not set up lets the search go on.
            assert!(matches!(error, CredentialsError::InvalidConfiguration(_)), "{error:?}");
            let text: Vec<String> = causes(&error).map(ToString::to_string).collect();
            assert!(text.join(": ").contains(&format!("{variable} is not UTF-8 text")), "{text:?}");
        }
    }

    #[test]
    fn variables_that_a_source_does_not_read_do_not_matter() {
        Source::Environment.check_variables(&NotText("AWS_PROFILE")).unwrap();
        profile(Some("p"), Some("f")).check_variables(&NotText("AWS_PROFILE")).unwrap();
        profile(Some("p"), Some("f")).check_variables(&NotText("AWS_CONFIG_FILE")).unwrap();
        Source::Process("keys".into()).check_variables(&NotText("AWS_ACCESS_KEY_ID")).unwrap();
    }

    #[test]
    fn a_named_profile_is_not_a_chain() {
        let chain = Source::all(&IdentitySource::Chain, None, None);
        let names: Vec<String> = chain.iter().map(Source::name).collect();
        assert_eq!(names, ["environment", "shared files", "web identity", "container", "instance metadata"]);
        let one = Source::all(&IdentitySource::Chain, Some("till"), None);
        assert_eq!(one.iter().map(Source::name).collect::<Vec<_>>(), ["profile `till`"]);
        let own = Source::all(&IdentitySource::Profile, None, Some(Path::new("/keys")));
        assert_eq!(own.iter().map(Source::name).collect::<Vec<_>>(), ["profile `default` of /keys"]);
    }
}
