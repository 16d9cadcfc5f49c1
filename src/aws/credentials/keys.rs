//! Whether keys can be signed with. An access key id and a session token become HTTP headers, and the SDK panics on text
//! that no header can carry. So nothing is signed with credentials that were not checked here. Pure.

use super::super::settings::StaticCredentials;
use aws_credential_types::Credentials;
use aws_credential_types::attributes::AccountId;
use secrecy::ExposeSecret;

/// The text of one key, secret or token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialText {
    Valid,
    /// White space around it must be removed. Nothing else may be left.
    Padded,
    /// A control character or one that is not ASCII is inside, so that no HTTP header can carry it.
    Invalid,
}

/// Checks the text of one key, secret or token. AWS writes all of them in visible ASCII.
#[must_use]
pub fn check_credential_text(text: &str) -> CredentialText {
    let inner = text.trim();
    if !inner.chars().all(|c| matches!(c, ' '..='~')) {
        CredentialText::Invalid
    } else if inner.len() < text.len() {
        CredentialText::Padded
    } else {
        CredentialText::Valid
    }
}

/// The three texts of credentials that are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    AccessKey,
    SecretKey,
    SessionToken,
}

impl Field {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::AccessKey => "access key id",
            Self::SecretKey => "secret access key",
            Self::SessionToken => "session token",
        }
    }

    /// The environment variable that holds it.
    pub(super) const fn variable(self) -> &'static str {
        match self {
            Self::AccessKey => "AWS_ACCESS_KEY_ID",
            Self::SecretKey => "AWS_SECRET_ACCESS_KEY",
            Self::SessionToken => "AWS_SESSION_TOKEN",
        }
    }
}

/// Credentials that can be signed with.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) credentials: Credentials,
    /// The fields from which white space was removed.
    pub(super) trimmed: Vec<Field>,
}

/// Why credentials cannot be signed with. Does not hold the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the {} has a control character or a non-ASCII character inside: copy it again exactly", .0.as_str())]
    Characters(Field),
    #[error("the {} is empty: set it, or remove this source", .0.as_str())]
    Blank(Field),
}

/// Removes white space around each field. The error is about the first field that cannot be used even so.
pub(super) fn usable(credentials: Credentials) -> Result<Usable, Unusable> {
    let token = credentials.session_token();
    let fields = [
        (Field::AccessKey, Some(credentials.access_key_id())),
        (Field::SecretKey, Some(credentials.secret_access_key())),
        (Field::SessionToken, token),
    ];
    let mut trimmed = Vec::new();
    for (field, text) in fields.into_iter().filter_map(|(field, text)| Some((field, text?))) {
        match check_credential_text(text) {
            CredentialText::Invalid => return Err(Unusable::Characters(field)),
            // A blank token counts as none: AWS's own tools write one for long-term keys.
            _ if text.trim().is_empty() && field != Field::SessionToken => return Err(Unusable::Blank(field)),
            CredentialText::Padded => trimmed.push(field),
            CredentialText::Valid => {}
        }
    }
    let is_blank_token = token.is_some_and(|token| token.trim().is_empty());
    // The account becomes a part of the endpoint's host.
    let account = credentials.account_id().map(|account| account.as_str());
    let is_padded_account = account.is_some_and(|account| account.trim().len() < account.len());
    if trimmed.is_empty() && !is_blank_token && !is_padded_account {
        return Ok(Usable { credentials, trimmed });
    }
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    let mut builder = Credentials::builder()
        .access_key_id(credentials.access_key_id().trim())
        .secret_access_key(credentials.secret_access_key().trim())
        .provider_name("trimmed");
    builder.set_session_token(token);
    builder.set_expiry(credentials.expiry());
    builder.set_account_id(account.map(|account| AccountId::from(account.trim())));
    Ok(Usable { credentials: builder.build(), trimmed })
}

/// The keys of a component file, for the SDK.
pub(super) fn static_credentials(keys: &StaticCredentials) -> Credentials {
    let token = keys.session_token.as_ref().map(|token| token.expose_secret().to_owned());
    Credentials::new(&keys.access_key, keys.secret_key.expose_secret(), token, None, "component file")
}

/// The last four characters of an access key id: enough to tell keys apart, too few to use one.
pub(super) fn masked_key_id(key: &str) -> String {
    let start = key.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    if key.len() < 8 { "…".to_owned() } else { format!("…{}", key.get(start..).unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::SystemTime;

    fn checked(key: &str, secret: &str, token: Option<&str>) -> Result<Usable, Unusable> {
        let token = token.map(str::to_owned);
        usable(Credentials::new(key, secret, token, Some(SystemTime::UNIX_EPOCH), "test"))
    }

    #[test]
    fn only_the_last_characters_of_a_key_are_shown() {
        assert_eq!(masked_key_id("AKIAIOSFODNN7EXAMPLE"), "…MPLE");
        assert_eq!(masked_key_id("short"), "…");
    }

    #[test]
    fn white_space_around_keys_is_removed_and_nothing_else_changes() {
        for padded in ["AKIA\n", "AKIA\r\n", " AKIA", "\tAKIA ", "AKIA\u{a0}"] {
            let usable = checked(padded, "s\n", Some("\rt ")).unwrap();
            let credentials = &usable.credentials;
            assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("AKIA", "s"), "{padded:?}");
            assert_eq!(credentials.session_token(), Some("t"));
            assert_eq!(credentials.expiry(), Some(SystemTime::UNIX_EPOCH));
            assert_eq!(usable.trimmed, [Field::AccessKey, Field::SecretKey, Field::SessionToken]);
        }
        assert!(checked("AKIA", "s", None).unwrap().trimmed.is_empty());
        assert_eq!(checked("AKIA", "s", Some(" ")).unwrap().credentials.session_token(), None, "a blank token is none");
    }

    #[test]
    fn an_error_names_the_field_that_no_header_can_carry_and_not_its_value() {
        for bad in ["AK\nIA", "AK\rIA", "AK\u{1b}IA", "AK\u{7f}IA", "AK\tIA", "AKÍA", "\u{feff}AKIA", "AK\0IA"] {
            let error = checked(bad, "s", None).unwrap_err();
            assert_eq!(error, Unusable::Characters(Field::AccessKey), "{bad:?}");
            assert!(
                error.to_string().starts_with("the access key id has a control") && !error.to_string().contains("IA")
            );
            assert_eq!(checked("AKIA", bad, None).unwrap_err(), Unusable::Characters(Field::SecretKey));
            assert_eq!(checked("AKIA", "s", Some(bad)).unwrap_err(), Unusable::Characters(Field::SessionToken));
        }
        assert_eq!(checked(" \n", "s", None).unwrap_err(), Unusable::Blank(Field::AccessKey));
    }

    proptest! {
        #[test]
        fn accepted_keys_can_be_sent_as_headers(key in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", token in "[\\x00-\\xff]{0,20}") {
            if let Ok(usable) = checked(&key, "s", Some(&token)) {
                let credentials = usable.credentials;
                prop_assert!(http::HeaderValue::from_str(credentials.access_key_id()).is_ok());
                prop_assert!(http::HeaderValue::from_str(credentials.session_token().unwrap_or("x")).is_ok());
            }
        }
    }
}
