//! Recognises secrets: by the name of a value, or by the form of a text. Pure.

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// Parts of the names of secret values.
const SECRET_WORDS: [&str; 10] = [
    "authorization",
    "connectionstring",
    "credential",
    "externalid",
    "key",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "token",
];
/// Names with such a part whose values are not secret.
const PLAIN_NAMES: [&str; 15] = [
    "credentialsource",
    "credentialsfile",
    "explicithashkey",
    "explicithashkeyexpression",
    "explicithashkeyfrom",
    "explicithashkeypath",
    "key",
    "partitionkey",
    "partitionkeyexpression",
    "partitionkeyfrom",
    "partitionkeyname",
    "partitionkeypath",
    "securitytokenheader",
    "sortkey",
    "sortkeyname",
];
/// Parameters of URLs and of connection strings that are secret besides those with the names of secret values.
const SECRET_PARAMETERS: [&str; 9] = ["apikey", "auth", "jwt", "key", "pass", "pwd", "sas", "sig", "signature"];

/// Whether the value of this name must not be shown.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    !PLAIN_NAMES.contains(&lower.as_str()) && SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// Whether a text has a secret by its form, whatever it is the value of: a URL with a user (who may have a password),
/// `user:password@host` without a scheme, or a parameter such as `?sig=…` or `;AccountKey=…`. It may take a text for a
/// secret that is none, which is then only not shown.
pub(super) fn shows_secret(text: &str) -> bool {
    has_user(text) || has_password(text) || has_secret_parameter(text)
}

fn has_user(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let rest = &text[at + separator.len()..];
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        authority.contains('@')
    })
}

/// As in `user:password@tcp(host:3306)/table`.
fn has_password(text: &str) -> bool {
    let is_user = |user: &str| !user.is_empty() && user.chars().all(|c| c.is_alphanumeric() || "_.%+~-".contains(c));
    text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).any(|word| {
        let Some((login, host)) = word.split_once('@') else { return false };
        let Some((user, password)) = login.split_once(':') else { return false };
        let is_password = !password.is_empty() && !password.starts_with("//");
        // The name of a role in an ARN may have an `@`.
        let is_arn = user.eq_ignore_ascii_case("arn");
        is_user(user) && is_password && !is_arn && host.starts_with(|c: char| c.is_alphanumeric() || "([/".contains(c))
    })
}

fn has_secret_parameter(text: &str) -> bool {
    let separates = |c: char| c.is_whitespace() || "?&;#,\"'`()".contains(c);
    text.split(separates).any(|part| {
        let Some((name, value)) = part.split_once('=') else { return false };
        // Expressions compare with `==`, and those of DynamoDB have placeholders for values.
        let is_value = !value.is_empty() && !value.starts_with(['=', ':']) && value != MASK;
        is_value && is_secret_parameter(name)
    })
}

fn is_secret_parameter(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is_name =
        lower.starts_with(char::is_alphabetic) && lower.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    is_name && (SECRET_PARAMETERS.contains(&plain.as_str()) || plain.ends_with("signature") || is_secret_name(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_with_secrets_are_recognised_by_their_form() {
        for text in [
            "https://user:pass@example.com/x",
            "http://token@example.com",
            "write to amqp://a:b@host now",
            "user:pass@tcp(127.0.0.1:3306)/orders?parseTime=true",
            "user:p/a:ss@host:5432",
            "user:p@ss@tcp(host)/db",
            "jdbc:mysql://root:pw@db/orders",
            "\"user:pass@[::1]:80\"",
            "https://acct.blob.core.windows.net/c?sv=2022-11-02&sig=abc%3D",
            "https://example.com/hook?token=abc",
            "/hook?access_token=abc",
            "https://maps.example/api?key=AIza",
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA&X-Amz-Expires=60",
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=abc",
            "https://example.com/cb#id_token=abc",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc==",
            "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=abc=",
            "host=db user=me password=abc",
            "Server=db;Uid=me;Pwd=abc;",
            "redis.host:6379,password=abc,ssl=True",
        ] {
            assert!(shows_secret(text), "{text}");
        }
    }

    #[test]
    fn other_texts_are_shown() {
        for text in [
            "",
            "orders",
            "https://example.com/a@b",
            "https://example.com/a:b@c?d=e",
            "arn:aws:iam::123456789012:role/me@example.com",
            "me@example.com",
            "mailto:@example.com",
            "@every 1h",
            "{partitionKey: .id, data: .x|@base64}",
            ".a == \"b:c\" and .token==1",
            "SET #token=:token, updated=:now",
            "attribute_not_exists(id) AND partitionKey=:key",
            "2024-01-01T10:00:00Z",
            "{\"data\":{\"key\":[{\"prefix\":\"a\"}]}}",
            "https://sqs.example.com/?Action=x&monday=1",
            "token=",
            "token=***",
            "?=x&&=&;",
        ] {
            assert!(!shows_secret(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_password_in_a_url_or_a_connection_string_is_found(
            user in "[A-Za-z0-9_.+-]{1,12}", password in "[A-Za-z0-9$!,;:=~*-]{1,16}", host in "[a-z][a-z0-9.-]{0,12}",
            before in "[a-z ]{0,8}"
        ) {
            prop_assume!(!user.eq_ignore_ascii_case("arn"));
            let forms = [
                format!("{before} https://{user}:{password}@{host}/p"),
                format!("{user}:{password}@tcp({host}:1)/p"),
                format!("{before} {user}:{password}@{host}"),
                format!("https://{host}/{before}?a=b&api_token=x{password}"),
            ];
            for text in forms {
                prop_assert!(shows_secret(&text), "{}", text);
            }
        }

        #[test]
        fn no_text_is_too_much(text in any::<String>()) {
            shows_secret(&text);
        }
    }
}
