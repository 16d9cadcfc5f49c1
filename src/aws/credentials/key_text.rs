//! Whether keys can be signed with. An access key's id and a session token become HTTP headers, and the SDK panics on
//! text that cannot be one. So nothing is signed with credentials that did not pass here. Pure.

use super::super::settings::StaticCredentials;
use aws_credential_types::Credentials;
use aws_credential_types::attributes::AccountId;
use secrecy::{ExposeSecret, SecretString};

/// One key, token or secret, looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyText {
    /// It can be used as it is.
    Clean,
    /// White space around it must go. It may be nothing else.
    Padded,
    /// It has a control character or one that is not ASCII inside, so that no HTTP header can carry it.
    Unusable,
}

/// Looks at one key, token or secret. AWS writes all of them in visible ASCII.
#[must_use]
pub fn key_text(text: &str) -> KeyText {
    let inner = text.trim();
    if !inner.chars().all(|letter| matches!(letter, ' '..='~')) {
        KeyText::Unusable
    } else if inner.len() < text.len() {
        KeyText::Padded
    } else {
        KeyText::Clean
    }
}

/// The three texts of one set of credentials, by the names that AWS gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    AccessKey,
    SecretKey,
    SessionToken,
}

impl Field {
    /// The name for people.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::AccessKey => "access key id",
            Self::SecretKey => "secret access key",
            Self::SessionToken => "session token",
        }
    }

    /// The variable of the environment that holds it.
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
    /// The fields that lost white space.
    pub(super) trimmed: Vec<Field>,
}

/// A field that no HTTP header can carry, or that is nothing but white space. The value is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the {} has a control character or one that is not ASCII inside: give it again, copied exactly", .0.word())]
    Letters(Field),
    #[error("the {} is empty: give it, or remove this source", .0.word())]
    Blank(Field),
}

/// Removes white space around each field.
///
/// # Errors
/// With the first field that cannot be used even so.
pub(super) fn usable(credentials: Credentials) -> Result<Usable, Unusable> {
    let token = credentials.session_token();
    let fields = [
        (Field::AccessKey, Some(credentials.access_key_id())),
        (Field::SecretKey, Some(credentials.secret_access_key())),
        (Field::SessionToken, token),
    ];
    let mut trimmed = Vec::new();
    for (field, text) in fields.into_iter().filter_map(|(field, text)| Some((field, text?))) {
        match key_text(text) {
            KeyText::Unusable => return Err(Unusable::Letters(field)),
            // A blank token is none; AWS's own tools write one for credentials that last.
            _ if text.trim().is_empty() && field != Field::SessionToken => return Err(Unusable::Blank(field)),
            KeyText::Padded => trimmed.push(field),
            KeyText::Clean => {}
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
pub(super) fn fixed(keys: &StaticCredentials) -> Credentials {
    let token = keys.session_token.as_ref().map(|token: &SecretString| token.expose_secret().to_owned());
    Credentials::new(&keys.access_key, keys.secret_key.expose_secret(), token, None, "component file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::SystemTime;

    fn of(key: &str, secret: &str, token: Option<&str>) -> Result<Usable, Unusable> {
        let token = token.map(str::to_owned);
        usable(Credentials::new(key, secret, token, Some(SystemTime::UNIX_EPOCH), "test"))
    }

    #[test]
    fn white_space_around_goes_and_the_rest_stays() {
        for padded in ["AKIA\n", "AKIA\r\n", " AKIA", "\tAKIA ", "AKIA\u{a0}"] {
            let usable = of(padded, "s\n", Some("\rt ")).unwrap();
            let credentials = &usable.credentials;
            assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("AKIA", "s"), "{padded:?}");
            assert_eq!(credentials.session_token(), Some("t"));
            assert_eq!(credentials.expiry(), Some(SystemTime::UNIX_EPOCH));
            assert_eq!(usable.trimmed, [Field::AccessKey, Field::SecretKey, Field::SessionToken]);
        }
        assert!(of("AKIA", "s", None).unwrap().trimmed.is_empty());
        assert_eq!(of("AKIA", "s", Some(" ")).unwrap().credentials.session_token(), None, "a blank token is none");
    }

    #[test]
    fn what_no_header_can_carry_is_named_and_not_shown() {
        for bad in ["AK\nIA", "AK\rIA", "AK\u{1b}IA", "AK\u{7f}IA", "AK\tIA", "AKÍA", "\u{feff}AKIA", "AK\0IA"] {
            let error = of(bad, "s", None).unwrap_err();
            assert_eq!(error, Unusable::Letters(Field::AccessKey), "{bad:?}");
            assert!(
                error.to_string().starts_with("the access key id has a control") && !error.to_string().contains("IA")
            );
            assert_eq!(of("AKIA", bad, None).unwrap_err(), Unusable::Letters(Field::SecretKey));
            assert_eq!(of("AKIA", "s", Some(bad)).unwrap_err(), Unusable::Letters(Field::SessionToken));
        }
        assert_eq!(of(" \n", "s", None).unwrap_err(), Unusable::Blank(Field::AccessKey));
    }

    proptest! {
        #[test]
        fn whatever_passes_can_be_a_header(key in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", token in "[\\x00-\\xff]{0,20}") {
            if let Ok(usable) = of(&key, "s", Some(&token)) {
                let credentials = usable.credentials;
                prop_assert!(http::HeaderValue::from_str(credentials.access_key_id()).is_ok());
                prop_assert!(http::HeaderValue::from_str(credentials.session_token().unwrap_or("x")).is_ok());
            }
        }
    }
}
