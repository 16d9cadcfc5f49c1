//! The credentials of a component: static keys, another source, and assumed roles. Fields that exclude each other are a
//! fault that names both.

use super::fields::read_endpoint;
use super::region::check_partition;
use crate::aws::{Arn, CredentialText, IdentitySettings, IdentitySource, StaticCredentials, check_credential_text};
use crate::manifest::Reader;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::time::Duration;

/// The limits of `AssumeRole.DurationSeconds`.
const MIN_SESSION: Duration = Duration::from_secs(15 * 60);
const MAX_SESSION: Duration = Duration::from_secs(12 * 3_600);
/// The limit of AWS for role chaining: a role that is assumed with the credentials of another role.
const MAX_CHAINED_SESSION: Duration = Duration::from_secs(3_600);

/// `credentialSource`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Auto,
    Static,
    Environment,
    Profile,
    WebIdentity,
    Container,
    Imds,
    Process,
    Sso,
    RolesAnywhere,
}

const SOURCES: [(&str, Source); 10] = [
    ("auto", Source::Auto),
    ("static", Source::Static),
    ("environment", Source::Environment),
    ("profile", Source::Profile),
    ("webIdentity", Source::WebIdentity),
    ("container", Source::Container),
    ("imds", Source::Imds),
    ("process", Source::Process),
    ("sso", Source::Sso),
    ("rolesAnywhere", Source::RolesAnywhere),
];

/// Fields that belong to one source.
const SOURCE_FIELDS: [(&str, Source); 6] = [
    ("accessKey", Source::Static),
    ("secretKey", Source::Static),
    ("sessionToken", Source::Static),
    ("profile", Source::Profile),
    ("credentialsFile", Source::Profile),
    ("credentialProcess", Source::Process),
];

/// Reads `accessKey`, `secretKey` and `sessionToken`.
pub(super) fn read_keys(reader: &mut Reader<'_>) -> Option<StaticCredentials> {
    let [access_key, secret_key, session_token] =
        ["accessKey", "secretKey", "sessionToken"].map(|field| read_key(reader, field));
    match (is_filled(reader, "accessKey"), is_filled(reader, "secretKey")) {
        (true, false) => incomplete(reader, "secretKey", "accessKey"),
        (false, true) => incomplete(reader, "accessKey", "secretKey"),
        (false, false) if is_filled(reader, "sessionToken") => incomplete(reader, "accessKey", "sessionToken"),
        (true, true) | (false, false) => {}
    }
    let access_key = access_key?.expose_secret().to_owned();
    Some(StaticCredentials { access_key, secret_key: secret_key?, session_token })
}

/// One key, without the white space around it; `None` when nothing is left or AWS cannot have such a key.
fn read_key(reader: &mut Reader<'_>, field: &'static str) -> Option<SecretString> {
    let value = reader.secret(field)?;
    match check_credential_text(value.expose_secret()) {
        CredentialText::Valid => Some(value),
        CredentialText::Padded => {
            reader.notice_trimmed(field);
            let trimmed = value.expose_secret().trim();
            (!trimmed.is_empty()).then(|| SecretString::from(trimmed))
        }
        CredentialText::Invalid => {
            let problem = "the value has a control character or one that is not ASCII inside, which no key of AWS has";
            reader.fault(field, problem, "give it again, copied exactly");
            None
        }
    }
}

/// Whether a field is given and not blank. A secret reference that cannot be resolved counts as given, because it is
/// already a fault.
fn is_filled(reader: &mut Reader<'_>, field: &'static str) -> bool {
    let is_blank = reader.secret(field).is_some_and(|value| value.expose_secret().trim().is_empty());
    reader.is_given(field) && !is_blank
}

fn incomplete(reader: &mut Reader<'_>, missing: &'static str, given: &'static str) {
    if reader.is_dapr_compat() {
        let text = format!("it has no effect without `{missing}`, as in daprd; AWS's default credentials are used");
        return reader.notice(given, &text);
    }
    let remedy = format!("add `{missing}`, or leave all keys out to use AWS's default credentials");
    reader.fault(missing, format!("the field is missing, although `{given}` is given"), remedy);
}

/// Reads the source of the credentials and the roles to assume. Static keys are read by [`read_keys`].
pub(super) fn read_identity(reader: &mut Reader<'_>, region: Option<&str>) -> IdentitySettings {
    let named = reader.one_of("credentialSource", &SOURCES).unwrap_or(Source::Auto);
    let profile = reader.trimmed_text("profile");
    let credentials_file = reader.trimmed_text("credentialsFile").map(PathBuf::from);
    let process = reader.text("credentialProcess");
    refuse_unsupported(reader, named);
    let source = source_of_fields(reader, named);
    let source = match (source, process) {
        (Source::Process, Some(command)) => IdentitySource::Process(command.into()),
        (Source::Environment, _) => IdentitySource::Environment,
        (Source::Profile, _) => IdentitySource::Profile,
        (Source::WebIdentity, _) => IdentitySource::WebIdentity,
        (Source::Container, _) => IdentitySource::Container,
        (Source::Imds, _) => IdentitySource::Imds,
        (Source::Auto | Source::Static | Source::Process | Source::Sso | Source::RolesAnywhere, _) => {
            IdentitySource::Chain
        }
    };
    let session_name = reader.name_or_alias("sessionName", "assumeRoleSessionName");
    let session_name = reader.parsed(session_name, session);
    let roles = read_roles(reader, region);
    let (external_id, session_duration) = read_session(reader, roles.len());
    IdentitySettings {
        source,
        profile,
        credentials_file,
        roles,
        external_id,
        session_name,
        session_duration,
        sts_endpoint: read_endpoint(reader, "stsEndpoint"),
    }
}

/// The source that `credentialSource` names, else the one that the given fields belong to. Fields of another source are
/// a fault.
fn source_of_fields(reader: &mut Reader<'_>, named: Source) -> Source {
    let given: Vec<(&str, Source)> = SOURCE_FIELDS.into_iter().filter(|(field, _)| is_filled(reader, field)).collect();
    let Some(&(_, first_source)) = given.first() else {
        match named {
            Source::Static => missing(reader, "accessKey", "static"),
            Source::Process => missing(reader, "credentialProcess", "process"),
            Source::Auto
            | Source::Environment
            | Source::Profile
            | Source::WebIdentity
            | Source::Container
            | Source::Imds
            | Source::Sso
            | Source::RolesAnywhere => {}
        }
        return named;
    };
    let written = SOURCES.iter().find(|(_, known)| *known == named).map_or("auto", |(text, _)| text);
    let of = |chosen: Source| given.iter().filter(move |(_, of_field)| *of_field == chosen).map(|(field, _)| *field);
    let not_of =
        |chosen: Source| given.iter().filter(move |(_, of_field)| *of_field != chosen).map(|(field, _)| *field);
    if named != Source::Auto {
        if let Some(field) = not_of(named).next() {
            let others = listed(not_of(named));
            let problem = format!("{others} cannot apply together with `credentialSource: {written}`");
            reader.fault(field, problem, format!("leave {others} out, or `credentialSource`"));
        }
        return named;
    }
    if let Some(field) = not_of(first_source).next() {
        let problem = format!(
            "{} cannot apply together: they belong to different sources",
            listed(given.iter().map(|(field, _)| *field))
        );
        let sources: Vec<String> =
            SOURCES.iter().map(|(_, source)| listed(of(*source))).filter(|fields| !fields.is_empty()).collect();
        reader.fault(field, problem, format!("keep only {}", sources.join(", or only ")));
    }
    first_source
}

/// `a`, `b` and `c`
fn listed<'f>(fields: impl Iterator<Item = &'f str>) -> String {
    let quoted: Vec<String> = fields.map(|field| format!("`{field}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

fn missing(reader: &mut Reader<'_>, field: &'static str, source: &str) {
    let problem = format!("the field is missing, although `credentialSource` is `{source}`");
    reader.fault(field, problem, format!("add `{field}`, or leave `credentialSource` out"));
}

/// Sources of AWS that bindd does not support are a fault that names an alternative.
fn refuse_unsupported(reader: &mut Reader<'_>, named: Source) {
    let anywhere = ["trustAnchorArn", "trustProfileArn"];
    let _read = anywhere.map(|field| reader.text(field));
    // daprd uses the three ARNs together, and ignores fewer.
    let is_used = !reader.is_dapr_compat()
        || ["assumeRoleArn", "trustAnchorArn", "trustProfileArn"].iter().all(|field| reader.is_given(field));
    let remedy = "use `credentialProcess` with AWS's Roles Anywhere credential helper (`credential-process`)";
    if named == Source::RolesAnywhere {
        reader.fault("credentialSource", "`rolesAnywhere` is not built in", remedy);
    } else if let Some(field) = anywhere.into_iter().find(|field| reader.is_given(field) && is_used) {
        reader.fault(field, "IAM Roles Anywhere is not built in", remedy);
    }
    if named == Source::Sso {
        let remedy = "use `credentialProcess: aws configure export-credentials --profile NAME --format process`, and log in with `aws \
             sso login`";
        reader.fault("credentialSource", "`sso` is not built in", remedy);
    }
}

fn read_roles(reader: &mut Reader<'_>, region: Option<&str>) -> Vec<String> {
    let roles = reader.parsed("assumeRoleArn", |text| {
        let roles: Vec<String> = text.split(',').map(|role| role.trim().to_owned()).collect();
        if roles.iter().all(|role| is_role(role)) {
            return Ok(roles);
        }
        let remedy = "write `arn:aws:iam::123456789012:role/NAME`, or several with commas between them";
        Err(("this is not the ARN of a role".to_owned(), remedy.to_owned()))
    });
    let roles = roles.unwrap_or_default();
    if reader.is_dapr_compat() && !roles.is_empty() {
        reader.notice("assumeRoleArn", "it has no effect, as in daprd; AWS's default credentials or the keys are used");
        return Vec::new();
    }
    if let Some(region) = region {
        for role in roles.iter().filter_map(|role| Arn::parse(role)) {
            check_partition(reader, "assumeRoleArn", role.partition, region);
        }
    }
    roles
}

fn is_role(text: &str) -> bool {
    Arn::parse(text).is_some_and(|arn| {
        let is_named = arn.resource.strip_prefix("role/").is_some_and(|name| !name.is_empty());
        arn.service == "iam" && arn.region.is_empty() && arn.has_account() && is_named
    })
}

/// Reads `assumeRoleExternalId` and `assumeRoleDuration`, which need a role.
fn read_session(reader: &mut Reader<'_>, roles: usize) -> (Option<SecretString>, Option<Duration>) {
    let id_field = reader.name_or_alias("assumeRoleExternalId", "roleExternalId");
    let external_id = reader.parsed(id_field, external_id).map(SecretString::from);
    let duration = reader.duration("assumeRoleDuration", MIN_SESSION..=MAX_SESSION);
    if !reader.is_given("assumeRoleArn") {
        for field in [id_field, "assumeRoleDuration"] {
            if reader.is_given(field) {
                let problem = format!("`{field}` has an effect only with `assumeRoleArn`");
                reader.fault(field, problem, "add `assumeRoleArn`, or leave the field out");
            }
        }
    }
    if roles > 1 && duration.is_some_and(|duration| duration > MAX_CHAINED_SESSION) {
        let problem = format!("`assumeRoleArn` names {roles} roles, and a chained session lasts 1 h at most");
        reader.fault("assumeRoleDuration", problem, "write `1h` or less");
    }
    (external_id, duration)
}

/// The limits of `AssumeRole.RoleSessionName`.
fn session(text: &str) -> Result<String, (String, String)> {
    let problem = "a session name has 2 to 64 letters, digits or `_+=,.@-`";
    limited_text(text, 2..=64, "_+=,.@-", problem)
}

/// The limits of `AssumeRole.ExternalId`.
fn external_id(text: &str) -> Result<String, (String, String)> {
    let problem = "an external id has 2 to 1224 letters, digits or `_+=,.@:/-`";
    limited_text(text, 2..=1_224, "_+=,.@:/-", problem)
}

fn limited_text(
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
    others: &str,
    problem: &str,
) -> Result<String, (String, String)> {
    let is_allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    if is_allowed && lengths.contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err((problem.to_owned(), "correct it".to_owned()))
    }
}

#[cfg(test)]
#[path = "tests/credentials.rs"]
mod tests;
