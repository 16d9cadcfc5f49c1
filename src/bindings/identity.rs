//! The fields that say who a component is towards AWS. What cannot apply together is a fault that names both fields.

use super::connection::{PADDED, read_endpoint, read_trimmed, spelled};
use super::region::same_partition;
use crate::aws::{Arn, CredentialText, IdentitySettings, IdentitySource, StaticCredentials, check_credential_text};
use crate::manifest::Reader;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::time::Duration;

/// The bounds of `AssumeRole.DurationSeconds`.
const SHORTEST_SESSION: Duration = Duration::from_secs(15 * 60);
const LONGEST_SESSION: Duration = Duration::from_secs(12 * 3_600);
/// What AWS allows for a role that is assumed with the credentials of another.
const LONGEST_CHAINED: Duration = Duration::from_secs(3_600);

/// The words of `credentialSource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
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

const WORDS: [(&str, Word); 10] = [
    ("auto", Word::Auto),
    ("static", Word::Static),
    ("environment", Word::Environment),
    ("profile", Word::Profile),
    ("webIdentity", Word::WebIdentity),
    ("container", Word::Container),
    ("imds", Word::Imds),
    ("process", Word::Process),
    ("sso", Word::Sso),
    ("rolesAnywhere", Word::RolesAnywhere),
];

/// Fields that only one source has.
const FIELDS: [(&str, Word); 6] = [
    ("accessKey", Word::Static),
    ("secretKey", Word::Static),
    ("sessionToken", Word::Static),
    ("profile", Word::Profile),
    ("credentialsFile", Word::Profile),
    ("credentialProcess", Word::Process),
];

/// Reads `accessKey`, `secretKey` and `sessionToken`.
pub(super) fn read_keys(reader: &mut Reader<'_>) -> Option<StaticCredentials> {
    let [access_key, secret_key, session_token] =
        ["accessKey", "secretKey", "sessionToken"].map(|field| read_key(reader, field));
    match (is_filled(reader, "accessKey"), is_filled(reader, "secretKey")) {
        (true, false) => lone(reader, "secretKey", "accessKey"),
        (false, true) => lone(reader, "accessKey", "secretKey"),
        (false, false) if is_filled(reader, "sessionToken") => lone(reader, "accessKey", "sessionToken"),
        (true, true) | (false, false) => {}
    }
    let access_key = access_key?.expose_secret().to_owned();
    Some(StaticCredentials { access_key, secret_key: secret_key?, session_token })
}

/// One key, without the white space around it; `None` when nothing is left or it cannot be signed with.
fn read_key(reader: &mut Reader<'_>, field: &'static str) -> Option<SecretString> {
    let value = reader.secret(field)?;
    match check_credential_text(value.expose_secret()) {
        CredentialText::Valid => Some(value),
        CredentialText::Padded => {
            reader.notice(field, PADDED);
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

/// Whether a key is given and not blank. One whose reference leads nowhere counts as given: that fault is noted already.
fn is_filled(reader: &mut Reader<'_>, field: &'static str) -> bool {
    let is_blank = reader.secret(field).is_some_and(|value| value.expose_secret().trim().is_empty());
    reader.is_given(field) && !is_blank
}

fn lone(reader: &mut Reader<'_>, missing: &'static str, given: &'static str) {
    let remedy = format!("add `{missing}`, or leave all keys out to use AWS's default credentials");
    reader.fault(missing, format!("the field is missing, although `{given}` is given"), remedy);
}

/// Reads where credentials come from, and the roles on top. Static keys are read by [`read_keys`].
pub(super) fn read_identity(reader: &mut Reader<'_>, region: Option<&str>) -> IdentitySettings {
    let word = reader.one_of("credentialSource", &WORDS).unwrap_or(Word::Auto);
    let profile = read_trimmed(reader, "profile");
    let credentials_file = read_trimmed(reader, "credentialsFile").map(PathBuf::from);
    let process = reader.text("credentialProcess");
    refuse_what_is_not_offered(reader, word);
    let meant = meant(reader, word);
    let source = match (meant, process) {
        (Word::Process, Some(command)) => IdentitySource::Process(command.into()),
        (Word::Environment, _) => IdentitySource::Environment,
        (Word::Profile, _) => IdentitySource::Profile,
        (Word::WebIdentity, _) => IdentitySource::WebIdentity,
        (Word::Container, _) => IdentitySource::Container,
        (Word::Imds, _) => IdentitySource::Imds,
        (Word::Auto | Word::Static | Word::Process | Word::Sso | Word::RolesAnywhere, _) => IdentitySource::Chain,
    };
    let session_name = spelled(reader, "sessionName", "assumeRoleSessionName");
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

/// The source that the fields mean together.
fn meant(reader: &mut Reader<'_>, word: Word) -> Word {
    let given: Vec<(&str, Word)> = FIELDS.into_iter().filter(|(field, _)| is_filled(reader, field)).collect();
    let Some(&(_, of_first)) = given.first() else {
        match word {
            Word::Static => missing(reader, "accessKey", "static"),
            Word::Process => missing(reader, "credentialProcess", "process"),
            Word::Auto
            | Word::Environment
            | Word::Profile
            | Word::WebIdentity
            | Word::Container
            | Word::Imds
            | Word::Sso
            | Word::RolesAnywhere => {}
        }
        return word;
    };
    let written = WORDS.iter().find(|(_, known)| *known == word).map_or("auto", |(text, _)| text);
    let of = |chosen: Word| given.iter().filter(move |(_, of_field)| *of_field == chosen).map(|(field, _)| *field);
    let not_of = |chosen: Word| given.iter().filter(move |(_, of_field)| *of_field != chosen).map(|(field, _)| *field);
    if word != Word::Auto {
        if let Some(field) = not_of(word).next() {
            let strangers = listed(not_of(word));
            let problem = format!("{strangers} cannot apply together with `credentialSource: {written}`");
            reader.fault(field, problem, format!("leave {strangers} out, or `credentialSource`"));
        }
        return word;
    }
    if let Some(field) = not_of(of_first).next() {
        let problem = format!(
            "{} cannot apply together: they mean different sources",
            listed(given.iter().map(|(field, _)| *field))
        );
        let sources: Vec<String> =
            WORDS.iter().map(|(_, word)| listed(of(*word))).filter(|fields| !fields.is_empty()).collect();
        reader.fault(field, problem, format!("keep only {}", sources.join(", or only ")));
    }
    of_first
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

fn missing(reader: &mut Reader<'_>, field: &'static str, word: &str) {
    let problem = format!("the field is missing, although `credentialSource` is `{word}`");
    reader.fault(field, problem, format!("add `{field}`, or leave `credentialSource` out"));
}

/// What AWS has and bindd has not, said with the way around.
fn refuse_what_is_not_offered(reader: &mut Reader<'_>, word: Word) {
    let anywhere = ["trustAnchorArn", "trustProfileArn"];
    let _asked = anywhere.map(|field| reader.text(field));
    let remedy = "use `credentialProcess` with AWS's Roles Anywhere credential helper (`credential-process`)";
    if word == Word::RolesAnywhere {
        reader.fault("credentialSource", "`rolesAnywhere` is not built in", remedy);
    } else if let Some(field) = anywhere.into_iter().find(|field| reader.is_given(field)) {
        reader.fault(field, "IAM Roles Anywhere is not built in", remedy);
    }
    if word == Word::Sso {
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
    if let Some(region) = region {
        for role in roles.iter().filter_map(|role| Arn::parse(role)) {
            same_partition(reader, "assumeRoleArn", role.partition, region);
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

/// `assumeRoleExternalId` and `assumeRoleDuration`, which mean something only with a role.
fn read_session(reader: &mut Reader<'_>, roles: usize) -> (Option<SecretString>, Option<Duration>) {
    let id_field = spelled(reader, "assumeRoleExternalId", "roleExternalId");
    let external_id = reader.parsed(id_field, external_id).map(SecretString::from);
    let duration = reader.duration("assumeRoleDuration", SHORTEST_SESSION..=LONGEST_SESSION);
    if !reader.is_given("assumeRoleArn") {
        for field in [id_field, "assumeRoleDuration"] {
            if reader.is_given(field) {
                let problem = format!("`{field}` has an effect only with `assumeRoleArn`");
                reader.fault(field, problem, "add `assumeRoleArn`, or leave the field out");
            }
        }
    }
    if roles > 1 && duration.is_some_and(|duration| duration > LONGEST_CHAINED) {
        let problem = format!("`assumeRoleArn` names {roles} roles, and a chained session lives 1 h at most");
        reader.fault("assumeRoleDuration", problem, "write `1h` or less");
    }
    (external_id, duration)
}

/// The bounds of `AssumeRole.RoleSessionName`.
fn session(text: &str) -> Result<String, (String, String)> {
    let problem = "a session name has 2 to 64 letters, digits or `_+=,.@-`";
    word_of(text, 2..=64, "_+=,.@-", problem)
}

/// The bounds of `AssumeRole.ExternalId`.
fn external_id(text: &str) -> Result<String, (String, String)> {
    let problem = "an external id has 2 to 1224 letters, digits or `_+=,.@:/-`";
    word_of(text, 2..=1_224, "_+=,.@:/-", problem)
}

fn word_of(
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
    others: &str,
    problem: &str,
) -> Result<String, (String, String)> {
    let is_word = text.chars().all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter));
    if is_word && lengths.contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err((problem.to_owned(), "correct it".to_owned()))
    }
}

#[cfg(test)]
#[path = "tests/identity.rs"]
mod tests;
