//! Where credentials come from: each source is asked by its name, and its answer kept for the error text.

use super::super::settings::{IdentitySource, StaticCredentials};
use super::key_text::{Field, KeyText, fixed, key_text, usable};
use super::not_built_in::not_built_in;
use super::not_text;
use super::standing::{Loaded, NoCredentials};
use super::sts::{Role, Sts};
use crate::domain::causes;
use crate::manifest::{Environment, ProcessEnvironment};
use aws_config::credential_process::CredentialProcessProvider;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials};
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use std::any::Any;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long one source may take. IMDS alone needs about 10 s to find out that nobody is there.
const SOURCE_LIMIT: Duration = Duration::from_secs(20);
/// The most letters of a source's answer that are repeated.
const LONGEST_ANSWER: usize = 400;

/// The name of the source whose values are variables.
const ENVIRONMENT: &str = "environment";

/// A place to ask.
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
    /// The places that a component's settings mean.
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

    fn words(&self) -> String {
        match self {
            Self::Static(_) => "component file".to_owned(),
            Self::Environment => ENVIRONMENT.to_owned(),
            Self::Profile { name: None, file: None } => "shared files".to_owned(),
            Self::Profile { name, file: None } => format!("profile `{}`", name.as_deref().unwrap_or("default")),
            Self::Profile { name, file: Some(file) } => {
                format!("profile `{}` of {}", name.as_deref().unwrap_or("default"), file.display())
            }
            Self::WebIdentity => "web identity".to_owned(),
            Self::Container => "container".to_owned(),
            Self::Imds => "instance metadata".to_owned(),
            Self::Process(_) => "credential process".to_owned(),
        }
    }

    /// The files whose change means that this source must be asked again.
    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Profile { file: Some(file), .. } => vec![file.clone()],
            Self::Profile { file: None, .. } => {
                vec![shared("AWS_SHARED_CREDENTIALS_FILE", "credentials"), shared("AWS_CONFIG_FILE", "config")]
                    .into_iter()
                    .flatten()
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
}

fn variable(name: &str) -> Option<String> {
    ProcessEnvironment.get(name).filter(|value| !value.is_empty())
}

/// A shared file: where the variable says, else in the home folder.
fn shared(name: &str, file: &str) -> Option<PathBuf> {
    let home = || variable("HOME").or_else(|| variable("USERPROFILE")).map(|home| Path::new(&home).join(".aws"));
    variable(name).map(PathBuf::from).or_else(|| home().map(|folder| folder.join(file)))
}

/// The sources of one component, and the roles on top of them.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) places: Vec<Source>,
    pub(super) roles: Vec<String>,
    pub(super) external_id: Option<SecretString>,
    pub(super) session_name: String,
    pub(super) session_duration: Option<Duration>,
    pub(super) sts: Sts,
    /// For sources that may be far away.
    pub(super) proxied: ProviderConfig,
    /// For sources on this machine or link, which no proxy reaches.
    pub(super) direct: ProviderConfig,
    /// Each is logged once, although loading is repeated every few minutes. Clones share it.
    pub(super) trimmed: TrimmedValues,
}

/// Values that lost the white space around them; each is logged once.
#[derive(Debug, Clone, Default)]
pub(super) struct TrimmedValues(Arc<Mutex<BTreeSet<String>>>);

impl TrimmedValues {
    fn note(&self, source: &str, field: &str) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{field} ({source})")) {
            tracing::warn!(source, field, "white space around a credential was removed");
        }
    }

    /// What was removed, for `check --connect`, which has no log; empty when nothing was.
    pub(super) fn remark(&self) -> String {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if values.is_empty() {
            return String::new();
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        format!("; white space around {} was removed, correct it at its source", values.join(", "))
    }
}

impl Sources {
    /// The files that are worth watching.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.places.iter().flat_map(Source::files).collect()
    }

    /// Asks the sources in order until one answers, then assumes the roles. Cancel-safe.
    ///
    /// # Errors
    /// With every source that was asked. A source that is set up but fails ends the search, as in AWS's SDKs: another
    /// identity than the one that was meant is worse than none.
    pub(super) async fn load(&self) -> Result<Loaded, NoCredentials> {
        let mut tried = Vec::new();
        let found = self.first(&mut tried).await;
        let Some(mut loaded) = found else {
            return Err(NoCredentials { tried, retry_at: Instant::now() });
        };
        for (place, arn) in self.roles.iter().enumerate() {
            let is_last = place + 1 == self.roles.len();
            let role = Role {
                arn,
                session_name: &self.session_name,
                external_id: self.external_id.as_ref().filter(|_| is_last),
                duration: self.session_duration.filter(|_| is_last),
            };
            let source = format!("{} → {arn}", loaded.source);
            let session = self.sts.assume(loaded.credentials, role).await.map_err(|failed| brief(&failed.text));
            match session.and_then(|session| self.usable(session, &source)) {
                Ok(credentials) => loaded = Loaded { credentials, source },
                Err(why) => {
                    tried.push((source, why));
                    return Err(NoCredentials { tried, retry_at: Instant::now() });
                }
            }
        }
        Ok(loaded)
    }

    async fn first(&self, tried: &mut Vec<(String, String)>) -> Option<Loaded> {
        for place in &self.places {
            let asked = AssertUnwindSafe(self.ask(place)).catch_unwind();
            let answer = tokio::time::timeout(SOURCE_LIMIT, asked)
                .await
                .map(|asked| asked.unwrap_or_else(panicked).map_err(explained));
            match answer.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(SOURCE_LIMIT))) {
                Ok(credentials) => match self.usable(credentials, &place.words()) {
                    Ok(credentials) => return Some(Loaded { credentials, source: place.words() }),
                    Err(why) => {
                        tried.push((place.words(), why));
                        return None;
                    }
                },
                Err(error) => {
                    let is_absent = matches!(error, CredentialsError::CredentialsNotLoaded(_));
                    tried.push((place.words(), said(&error)));
                    if !is_absent {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// The credentials as they can be signed with, or why they cannot.
    fn usable(&self, credentials: Credentials, source: &str) -> Result<Credentials, String> {
        let usable = usable(credentials).map_err(|unusable| unusable.to_string())?;
        for field in usable.trimmed {
            let name = if source == ENVIRONMENT { field.variable() } else { field.word() };
            self.trimmed.note(source, name);
        }
        Ok(usable.credentials)
    }

    /// The SDK removes white space around some of these variables itself, and says nothing.
    fn note_padded_environment(&self) {
        for variable in [Field::AccessKey, Field::SecretKey, Field::SessionToken].map(Field::variable) {
            if ProcessEnvironment.get(variable).is_some_and(|value| key_text(&value) == KeyText::Padded) {
                self.trimmed.note(ENVIRONMENT, variable);
            }
        }
    }

    /// A variable without the white space around it.
    fn trimmed_variable(&self, name: &str) -> Option<String> {
        let value = variable(name)?;
        if value.trim().len() < value.len() {
            self.trimmed.note(ENVIRONMENT, name);
        }
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    async fn ask(&self, place: &Source) -> provider::Result {
        not_text::check(place, &ProcessEnvironment)?;
        match place {
            Source::Static(keys) => Ok(fixed(keys)),
            Source::Environment => {
                self.note_padded_environment();
                EnvironmentVariableCredentialsProvider::new().provide_credentials().await
            }
            Source::Profile { name, file } => self.profile(name.as_deref(), file.as_deref()).await,
            Source::WebIdentity => self.web_identity().await,
            Source::Container => {
                let is_far = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some_and(|uri| uri.starts_with("https"));
                let config = if is_far { &self.proxied } else { &self.direct };
                EcsCredentialsProvider::builder().configure(config).build().provide_credentials().await
            }
            Source::Imds => {
                ImdsCredentialsProvider::builder().configure(&self.direct).build().provide_credentials().await
            }
            Source::Process(command) => {
                CredentialProcessProvider::new(command.expose_secret().to_owned()).provide_credentials().await
            }
        }
    }

    async fn profile(&self, name: Option<&str>, file: Option<&Path>) -> provider::Result {
        let mut builder = ProfileFileCredentialsProvider::builder().configure(&self.proxied);
        let name = name.map(str::to_owned).or_else(|| self.trimmed_variable("AWS_PROFILE"));
        let shown = name.clone().unwrap_or_else(|| "default".to_owned());
        if let Some(name) = name {
            builder = builder.profile_name(name);
        }
        if let Some(file) = file {
            std::fs::metadata(file)
                .map_err(|error| CredentialsError::invalid_configuration(unreadable(file, &error)))?;
            builder = builder.profile_files(only(file));
        }
        let answer = builder.build().provide_credentials().await;
        answer.map_err(|error| match not_built_in(&said(&error), &shown) {
            Some(remedy) => CredentialsError::invalid_configuration(remedy),
            None => error,
        })
    }

    /// The token is read anew each time: its keeper on the machine renews the file.
    async fn web_identity(&self) -> provider::Result {
        let (file, arn) =
            match ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"].map(|name| self.trimmed_variable(name)).into() {
                (Some(file), Some(arn)) => (file, arn),
                (None, _) => return Err(CredentialsError::not_loaded("AWS_WEB_IDENTITY_TOKEN_FILE is not set")),
                (Some(_), None) => {
                    let text = "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not";
                    return Err(CredentialsError::invalid_configuration(text));
                }
            };
        let token = std::fs::read_to_string(&file)
            .map_err(|error| CredentialsError::provider_error(unreadable(Path::new(&file), &error)))?;
        let session = self.trimmed_variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| self.session_name.clone());
        let role = Role { arn: &arn, session_name: &session, external_id: None, duration: None };
        let answer = self.sts.assume_by_token(token.trim().to_owned(), role).await;
        answer.map_err(|failed| CredentialsError::provider_error(failed.text))
    }
}

#[expect(deprecated, reason = "the replacement is in a crate that the SDK does not mean for direct use")]
fn only(file: &Path) -> aws_config::profile::profile_file::ProfileFiles {
    aws_config::profile::profile_file::ProfileFiles::builder()
        .with_file(aws_config::profile::profile_file::ProfileFileKind::Credentials, file)
        .build()
}

/// The SDK signs with the keys of a profile's source before they come here: it panics on an id that no header can carry.
fn panicked(_: Box<dyn Any + Send>) -> provider::Result {
    Err(CredentialsError::invalid_configuration(UNSENDABLE))
}

/// And on a token it fails, by a text that names neither source nor remedy.
fn explained(error: CredentialsError) -> CredentialsError {
    let said = said(&error);
    if said.contains("invalid header value") {
        CredentialsError::invalid_configuration(UNSENDABLE)
    } else if said.contains("auth token could not be used as an HTTP header") {
        CredentialsError::invalid_configuration(UNSENDABLE_CONTAINER_TOKEN)
    } else {
        error
    }
}

const UNSENDABLE_CONTAINER_TOKEN: &str = "the token of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or \
                                          AWS_CONTAINER_AUTHORIZATION_TOKEN has a line break or another character that \
                                          cannot be sent: write it without";
const UNSENDABLE: &str = "a key or token of this source cannot be sent: it has a control character or one that is not \
                          ASCII inside, give it again, copied exactly";

fn unreadable(file: &Path, error: &std::io::Error) -> String {
    format!("the file {} cannot be read: {error}", file.display())
}

/// An answer in words: the causes, from the outside in, each once.
fn said(error: &CredentialsError) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes(error).skip(1) {
        let text = cause.to_string();
        // Many of the SDK's errors repeat their cause in their own text.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    if parts.is_empty() {
        // The SDK's own words for this are "the credential provider was not enabled".
        let is_absent = matches!(error, CredentialsError::CredentialsNotLoaded(_));
        parts.push(if is_absent { "not set up".to_owned() } else { error.to_string() });
    }
    brief(&parts.join(": "))
}

fn brief(text: &str) -> String {
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    match line.char_indices().nth(LONGEST_ANSWER) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_short_line_of_its_causes() {
        let error = CredentialsError::provider_error(format!("first\nsecond {}", "x".repeat(LONGEST_ANSWER)));
        let text = said(&error);
        assert!(text.starts_with("first second x") && text.ends_with('…'), "{text}");
        assert_eq!(text.chars().count(), LONGEST_ANSWER + 1);
    }

    #[test]
    fn a_named_profile_is_not_a_chain() {
        let chain = Source::all(&IdentitySource::Chain, None, None);
        let words: Vec<String> = chain.iter().map(Source::words).collect();
        assert_eq!(words, ["environment", "shared files", "web identity", "container", "instance metadata"]);
        let one = Source::all(&IdentitySource::Chain, Some("till"), None);
        assert_eq!(one.iter().map(Source::words).collect::<Vec<_>>(), ["profile `till`"]);
    }
}
