//! Which component types bindd serves, and whether a file that cannot be parsed probably has one of them.
//!
//! Folders for daprd contain much that is not for bindd, which is skipped with a notice. Only a component of a served
//! type, or of one with a typing error, can prevent the start.

/// The type of a Kinesis component.
pub const KINESIS: &str = "bindings.aws.kinesis";
/// The type of a DynamoDB component.
pub const DYNAMODB: &str = "bindings.aws.dynamodb";
/// The type of a component that calls the app by a schedule.
pub const CRON: &str = "bindings.cron";
/// The type of a component that calls an HTTP endpoint.
pub const HTTP: &str = "bindings.http";
/// The type of a component that reads and writes files.
pub const LOCAL_STORAGE: &str = "bindings.localstorage";

/// The `type` of a data connector.
pub(super) const CONNECTOR: &str = "aws-kinesis";

/// Every type of binding that bindd serves.
const BINDINGS: [&str; 5] = [KINESIS, DYNAMODB, CRON, HTTP, LOCAL_STORAGE];

/// The types of binding that bindd serves, as a message lists them.
#[must_use]
pub fn served_bindings() -> String {
    BINDINGS.map(|name| format!("`{name}`")).join(", ")
}

/// The kind of documents with policies; as in Dapr, their `apiVersion` is not looked at.
pub(super) const RESILIENCY: &str = "Resiliency";
/// The kind of documents with a program that components use by name.
pub(super) const METHOD: &str = "Method";

/// The type of the secret store of environment variables.
pub(super) const LOCAL_ENV: &str = "secretstores.local.env";
/// The type of the secret store in a JSON file.
const LOCAL_FILE: &str = "secretstores.local.file";
/// The type of the store of Kubernetes secrets.
pub const KUBERNETES: &str = "secretstores.kubernetes";
/// The type of the store of AWS Secrets Manager.
pub const SECRETS_MANAGER: &str = "secretstores.aws.secretmanager";
/// The type of the store of the Parameter Store of AWS Systems Manager.
pub const PARAMETER_STORE: &str = "secretstores.aws.parameterstore";

/// Dapr's building blocks other than bindings.
const OTHER_BLOCKS: [&str; 12] = [
    "configuration",
    "conversation",
    "crypto",
    "exporters",
    "lock",
    "middleware",
    "nameresolution",
    "pubsub",
    "secretstores",
    "state",
    "workflow",
    "workflowbackend",
];
/// Bytes; longer texts are not compared by edit distance.
const MAX_TYPE: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeClass {
    /// bindd reads components of this type.
    Served,
    /// A type that bindd does not serve itself: one of Dapr's, or one of a pluggable component.
    Skipped,
    /// Empty, or a served type with a typing error.
    Mistyped,
}

/// Whether a component type is one of the two local secret stores. Case-insensitive.
#[must_use]
pub(super) fn is_local_store(component_type: &str) -> bool {
    component_type.eq_ignore_ascii_case(LOCAL_ENV) || component_type.eq_ignore_ascii_case(LOCAL_FILE)
}

/// Whether a component type is a secret store that is read by network calls. Case-insensitive.
#[must_use]
pub fn is_remote_store(component_type: &str) -> bool {
    [KUBERNETES, SECRETS_MANAGER, PARAMETER_STORE].iter().any(|store| component_type.eq_ignore_ascii_case(store))
}

/// Whether a component type is a secret store that bindd can read. Case-insensitive.
#[must_use]
pub fn is_secret_store(component_type: &str) -> bool {
    is_local_store(component_type) || is_remote_store(component_type)
}

/// Case-insensitive, as in Dapr.
pub(super) fn classify(component_type: &str) -> TypeClass {
    let lower = component_type.to_lowercase();
    if is_served(&lower) {
        return TypeClass::Served;
    }
    match lower.split_once('.') {
        Some((block, rest)) if !block.is_empty() && !rest.is_empty() && !is_nearly_served(&lower) => TypeClass::Skipped,
        Some(_) | None => TypeClass::Mistyped,
    }
}

/// Whether bindd itself serves a type, in lower case.
#[must_use]
pub fn is_served(lower: &str) -> bool {
    BINDINGS.contains(&lower) || is_secret_store(lower)
}

/// Whether the type is most likely a typing error of a binding that bindd serves: up to three letters off, or a binding
/// (up to two letters off) of something with Kinesis or DynamoDB in its name. No other type of Dapr is so similar.
fn is_nearly_served(lower: &str) -> bool {
    let block = lower.split('.').next().unwrap_or_default();
    if lower.len() > MAX_TYPE || OTHER_BLOCKS.contains(&block) {
        return false;
    }
    let is_near = |name: &&str| strsim::osa_distance(lower, name) <= 3;
    let names_service = lower.contains("kinesis") || lower.contains("dynamo");
    [KINESIS, DYNAMODB].iter().any(is_near) || (names_service && strsim::osa_distance(block, "bindings") <= 2)
}

/// Whether bytes that cannot be parsed name a component of a served type: the word `kind` followed by `Component`, and a
/// served type, or nearly one after `type`. A document of Dapr that ends before its type counts too, and so does one whose
/// `kind` is `Method`. Comment lines do not.
/// `plugged` are types that are served beside bindd's own.
pub(super) fn claims_served_type(bytes: &[u8], plugged: &[String]) -> bool {
    // ASCII in UTF-16 is the same bytes with zeros between them.
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let is_letter = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let words = lines.flat_map(|line| line.split(move |c| !is_letter(c))).filter(|word| !word.is_empty());
    let mut claims = Claims { plugged, ..Claims::default() };
    let mut previous = "";
    for word in words {
        claims.read_word(previous, word);
        previous = word;
    }
    let is_unfinished = claims.is_of_dapr && !claims.has_type;
    (claims.is_component && (claims.is_served || is_unfinished))
        || (claims.is_method && claims.is_of_dapr)
        || (claims.is_connector && !claims.has_kind)
}

#[derive(Debug, Default)]
struct Claims<'p> {
    plugged: &'p [String],
    is_component: bool,
    is_method: bool,
    is_of_dapr: bool,
    has_type: bool,
    has_kind: bool,
    is_served: bool,
    /// It has the type of a data connector.
    is_connector: bool,
}

impl Claims<'_> {
    fn read_word(&mut self, previous: &str, word: &str) {
        let follows_type = previous.eq_ignore_ascii_case("type");
        let follows_kind = previous.eq_ignore_ascii_case("kind");
        self.has_kind |= follows_kind;
        self.is_connector |= follows_type && word.eq_ignore_ascii_case(CONNECTOR);
        self.is_component |= follows_kind && word.eq_ignore_ascii_case("Component");
        self.is_method |= follows_kind && word.eq_ignore_ascii_case(METHOD);
        self.is_of_dapr |= word.eq_ignore_ascii_case("dapr.io");
        self.has_type |= follows_type;
        if !self.is_served && word.contains('.') && word.len() <= MAX_TYPE {
            let lower = word.to_lowercase();
            self.is_served =
                is_served(&lower) || self.plugged.contains(&lower) || (follows_type && is_nearly_served(&lower));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_dapr_are_skipped_and_typing_errors_of_served_types_are_not() {
        for served in [
            "bindings.aws.kinesis",
            "Bindings.AWS.DynamoDB",
            "secretstores.local.env",
            "secretStores.local.file",
            "bindings.CRON",
            "bindings.http",
            "bindings.localstorage",
            "secretstores.kubernetes",
            "secretStores.aws.secretManager",
            "secretstores.aws.parameterstore",
        ] {
            assert_eq!(classify(served), TypeClass::Served, "{served}");
        }
        for other in [
            "state.redis",
            "state.aws.dynamodb",
            "pubsub.aws.snssqs",
            "pubsub.kinesis",
            "secretstores.local.fil",
            "middleware.http.bearer",
            "nameresolution.mdns",
            "bindings.kafka",
            "bindings.redis",
            "bindings.mysql",
            "bindings.postgresql",
            "bindings.aws.s3",
            "bindings.aws.ses",
            "bindings.aws.sns",
            "bindings.aws.sqs",
            "bindings.azure.eventhubs",
            "bindings.gcp.pubsub",
            "bindings.kubernetes",
            "bindings.zeebe.command",
            "bindings.our-own-plugin",
            "jobs.something",
        ] {
            assert_eq!(classify(other), TypeClass::Skipped, "{other}");
        }
        for wrong in [
            "bindings.aws.kinesys",
            "bindings.aws.kinessis",
            "binding.aws.kinesis",
            "bindings.kinesis",
            "bindings.aws.kinesis.streams",
            "bindings.aws.dynamo",
            "bindings.dynamodb",
            "bindngs.dynamodb",
            "bindings",
            "bindings.",
            ".kinesis",
            "nonsense",
        ] {
            assert_eq!(classify(wrong), TypeClass::Mistyped, "{wrong}");
        }
        assert_eq!(classify(&format!("bindings.{}kinesis", "x".repeat(200))), TypeClass::Skipped);
    }

    #[test]
    fn unparsable_files_are_recognised_by_their_words() {
        for served in [
            "kind: Component\nspec:\n\ttype: bindings.aws.kinesis\n",
            r#"{"kind":"Component","spec":{"type":"Bindings.AWS.DynamoDB""#,
            "kind:Component\ntype:bindings.aws.kinesys",
            "spec: {type: 'bindings.aws.kinesis'\nkind: \"Component\" # x",
            "kind: Component\nspec:\n  type: bindings.aws.kinesis\n  metadata: [{name: a, value: {{ .Values.a }}}]",
            "kind: Component\ntyp: secretstores.local.file: x",
            "apiVersion: dapr.io/v1alpha1\nkind: Component\n\tmetadata: [",
            r#"{"type": "aws-kinesis", "id": "a","#,
            "id: a\ntype: aws-kinesis\n\tstream: [",
        ] {
            assert!(claims_served_type(served.as_bytes(), &[]), "{served}");
        }
        let wide: Vec<u8> =
            "\u{feff}kind: Component\r\ntype: bindings.aws.kinesis".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(claims_served_type(&wide, &[]));
        for other in [
            "",
            "kind: Component\ntype: state.redis: x",
            "kind: Component\ntype: bindings.kafka: x",
            "kind: Component\n# type: bindings.aws.kinesis\n",
            "# kind: Component\ntype: bindings.aws.kinesis\n",
            "kind: Deployment\ntype: bindings.aws.kinesis",
            "kind: Component\nmetadata: bindings.aws.kinesys",
            "the kind of a Component is bindings.aws.kinesis",
            "Resources: !Ref Stream",
            "apiVersion: backstage.io/v1alpha1\nkind: Component\n\tmetadata: [",
            "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\n\tspec: [",
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nspec:\n\ttype: state.redis",
            "kind: Component\ntype: {{ .Values.type }}",
            "kind: Component\ntype: bindings.ours: x",
            "kind: Source\ntype: aws-kinesis\n\tstream: [",
            "name: aws-kinesis\n\tstream: [",
        ] {
            assert!(!claims_served_type(other.as_bytes(), &[]), "{other}");
        }
        assert!(claims_served_type(b"kind: Component\ntype: bindings.Ours: x", &["bindings.ours".to_owned()]));
    }
}
