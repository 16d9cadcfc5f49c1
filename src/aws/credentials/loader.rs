//! Loads credentials: tries the sources in order, then assumes the roles.

use super::super::ConnectionSettings;
use super::super::settings::IdentitySettings;
use super::super::transport::Transport;
use super::keys::{CredentialText, Field, check_credential_text, static_credentials, usable};
use super::source::{ENVIRONMENT, Source, variable};
use super::source_error::{UNSENDABLE, missing_feature, one_line, reason, unreadable};
use super::state::Loaded;
use super::sts::{Role, StsClient};
use crate::manifest::{Environment, ProcessEnvironment};
use aws_config::Region;
use aws_config::credential_process::CredentialProcessProvider;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures_util::FutureExt;
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long one source may take. IMDS alone needs about 10 s to find out that it is not there.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(20);
/// The role session name where the file has none.
const SESSION_NAME: &str = "bindd";

/// The sources of one component, and the roles on top of them.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    sources: Vec<Source>,
    identity: IdentitySettings,
    pub(super) sts: StsClient,
    /// For sources that may be far away.
    proxied: ProviderConfig,
    /// For sources on this machine or its network link, which are never behind a proxy.
    direct: ProviderConfig,
    pub(super) trimmed: TrimmedValues,
}

/// Values from which white space was removed. Clones share it, so that each is logged once although loading is repeated.
#[derive(Debug, Clone, Default)]
pub(super) struct TrimmedValues(Arc<Mutex<BTreeSet<String>>>);

impl TrimmedValues {
    fn record(&self, source: &str, field: &str) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{field} ({source})")) {
            tracing::warn!(source, field, "white space around a credential was removed");
        }
    }

    /// The trimmed values, for `check --connect`, which has no log; empty when there are none.
    pub(super) fn remark(&self) -> String {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if values.is_empty() {
            return String::new();
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        format!("; white space around {} was removed, correct it at its source", values.join(", "))
    }
}

impl Loader {
    pub(super) async fn new(settings: &ConnectionSettings, region: &Region, transport: &Transport) -> Self {
        let identity = settings.identity.clone();
        let sources = match &settings.credentials {
            Some(keys) => vec![Source::Static(keys.clone())],
            None => Source::all(&identity.source, identity.profile.as_deref(), identity.credentials_file.as_deref()),
        };
        let config = |http: SharedHttpClient| {
            ProviderConfig::without_region()
                .with_region(Some(region.clone()))
                .with_use_fips(Some(settings.use_fips))
                .with_use_dual_stack(Some(settings.use_dual_stack))
                .with_http_client(http)
        };
        let proxied = transport.http_client();
        Self {
            sources,
            identity,
            sts: StsClient::new(settings, region, proxied.clone()).await,
            proxied: config(proxied),
            direct: config(transport.direct_client()),
            trimmed: TrimmedValues::default(),
        }
    }

    /// The files that are watched.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.sources.iter().flat_map(Source::files).collect()
    }

    /// Tries the sources in order until one has credentials, then assumes the roles. Cancel-safe. The error is each source
    /// that was tried, and its reason. A source that is set up but fails ends the search, as in AWS's SDKs: an identity that
    /// was not intended is worse than none.
    pub(super) async fn load(&self) -> Result<Loaded, Vec<(String, String)>> {
        let mut tried = Vec::new();
        let Some(mut loaded) = self.first_source(&mut tried).await else { return Err(tried) };
        let identity = &self.identity;
        for (index, arn) in identity.roles.iter().enumerate() {
            let is_last = index + 1 == identity.roles.len();
            let role = Role {
                arn,
                session_name: identity.session_name.as_deref().unwrap_or(SESSION_NAME),
                external_id: identity.external_id.as_ref().filter(|_| is_last),
                duration: identity.session_duration.filter(|_| is_last),
            };
            let source = format!("{} → {arn}", loaded.source);
            let session = self.sts.assume(loaded.credentials, role).await.map_err(|error| one_line(&error.text));
            match session.and_then(|session| self.usable(session, &source)) {
                Ok(credentials) => loaded = Loaded { credentials, source },
                Err(reason) => {
                    tried.push((source, reason));
                    return Err(tried);
                }
            }
        }
        Ok(loaded)
    }

    async fn first_source(&self, tried: &mut Vec<(String, String)>) -> Option<Loaded> {
        for source in &self.sources {
            let attempt = AssertUnwindSafe(self.credentials_of(source)).catch_unwind();
            let result = match tokio::time::timeout(SOURCE_TIMEOUT, attempt).await {
                Ok(Ok(result)) => result,
                Ok(Err(_panic)) => Err(CredentialsError::invalid_configuration(UNSENDABLE)),
                Err(_) => Err(CredentialsError::provider_timed_out(SOURCE_TIMEOUT)),
            };
            let name = source.name();
            let is_absent = matches!(result, Err(CredentialsError::CredentialsNotLoaded(_)));
            let usable = result.map_err(|error| reason(&error)).and_then(|found| self.usable(found, &name));
            match usable {
                Ok(credentials) => return Some(Loaded { credentials, source: name }),
                Err(reason) => tried.push((name, reason)),
            }
            if !is_absent {
                return None;
            }
        }
        None
    }

    /// The credentials as they can be signed with, or why they cannot.
    fn usable(&self, credentials: Credentials, source: &str) -> Result<Credentials, String> {
        let usable = usable(credentials).map_err(|unusable| unusable.to_string())?;
        for field in usable.trimmed {
            self.trimmed.record(source, if source == ENVIRONMENT { field.variable() } else { field.as_str() });
        }
        Ok(usable.credentials)
    }

    async fn credentials_of(&self, source: &Source) -> provider::Result {
        source.check_variables(&ProcessEnvironment)?;
        match source {
            Source::Static(keys) => Ok(static_credentials(keys)),
            Source::Environment => {
                self.record_padded_environment();
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
        if let Some(name) = &name {
            builder = builder.profile_name(name);
        }
        if let Some(file) = file {
            std::fs::metadata(file)
                .map_err(|error| CredentialsError::invalid_configuration(unreadable(file, &error)))?;
            builder = builder.profile_files(only(file));
        }
        let result = builder.build().provide_credentials().await;
        result.map_err(|error| match missing_feature(&reason(&error), name.as_deref().unwrap_or("default")) {
            Some(remedy) => CredentialsError::invalid_configuration(remedy),
            None => error,
        })
    }

    /// Reads the token file at each load, because the platform renews it.
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
        let from_variable = self.trimmed_variable("AWS_ROLE_SESSION_NAME");
        let session_name = from_variable.as_deref().or(self.identity.session_name.as_deref()).unwrap_or(SESSION_NAME);
        let role = Role { arn: &arn, session_name, external_id: None, duration: None };
        let result = self.sts.assume_with_web_identity(token.trim().to_owned(), role).await;
        result.map_err(|error| CredentialsError::provider_error(error.text))
    }

    /// The SDK removes white space around some of these variables silently.
    fn record_padded_environment(&self) {
        for variable in [Field::AccessKey, Field::SecretKey, Field::SessionToken].map(Field::variable) {
            let value = ProcessEnvironment.get(variable);
            if value.is_some_and(|value| check_credential_text(&value) == CredentialText::Padded) {
                self.trimmed.record(ENVIRONMENT, variable);
            }
        }
    }

    /// A variable without the white space around it.
    fn trimmed_variable(&self, name: &str) -> Option<String> {
        let value = variable(name)?;
        if value.trim().len() < value.len() {
            self.trimmed.record(ENVIRONMENT, name);
        }
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}

#[expect(deprecated, reason = "the replacement is in an internal crate of the SDK")]
fn only(file: &Path) -> aws_config::profile::profile_file::ProfileFiles {
    aws_config::profile::profile_file::ProfileFiles::builder()
        .with_file(aws_config::profile::profile_file::ProfileFileKind::Credentials, file)
        .build()
}
