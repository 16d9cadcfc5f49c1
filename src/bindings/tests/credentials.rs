use super::super::{CheckResult, Spec, check};
use crate::aws::{ConnectionSettings, IdentitySource};
use crate::manifest::{Environment, LoadRequest, load};
use secrecy::ExposeSecret;
use std::mem::discriminant;
use std::time::Duration;

struct Empty;

impl Environment for Empty {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

fn check_fields(items: &[(&str, &str)]) -> CheckResult {
    let folder = tempfile::tempdir().unwrap();
    let mut list = vec![serde_json::json!({"name": "table", "value": "orders"})];
    list.extend(items.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})));
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: x}}\nspec:\n  type: bindings.aws.dynamodb\n  \
         version: v1\n  metadata: {}\n",
        serde_json::Value::from(list)
    );
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    check(load(&LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment: &Empty }))
}

fn settings(items: &[(&str, &str)]) -> ConnectionSettings {
    let result = check_fields(items);
    assert!(result.faults.is_empty() && result.notices.is_empty(), "{}\n{:?}", result.faults, result.notices);
    match result.components.into_iter().next().unwrap().spec {
        Spec::DynamoDb(spec) => spec.connection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_field_of_an_assumed_role_is_read() {
    let two = format!("{ROLE}, {ROLE}2");
    let settings = settings(&[
        ("region", "eu-central-1"),
        ("assumeRoleArn", &two),
        ("roleExternalId", "shop:7"),
        ("assumeRoleSessionName", "till@shop"),
        ("assumeRoleDuration", "30m"),
        ("stsEndpoint", "http://localhost:4566"),
        ("useFips", "true"),
        ("useDualStack", "yes"),
        ("failFast", "true"),
        ("caBundle", "/etc/ca.pem"),
        ("profile", "till"),
    ]);
    let identity = settings.identity;
    assert_eq!(identity.roles, [ROLE.to_owned(), format!("{ROLE}2")]);
    assert_eq!(
        (identity.external_id.as_ref().map(|id| id.expose_secret()), identity.session_name.as_deref()),
        (Some("shop:7"), Some("till@shop"))
    );
    assert_eq!(identity.session_duration, Some(Duration::from_secs(1_800)));
    assert!(matches!(identity.source, IdentitySource::Profile));
    assert_eq!(identity.profile.as_deref(), Some("till"));
    assert!(settings.use_fips && settings.use_dual_stack && settings.fail_fast && settings.ca_bundle.is_some());
}

#[test]
fn each_name_selects_its_source() {
    for (word, source) in [
        ("auto", IdentitySource::Chain),
        ("environment", IdentitySource::Environment),
        ("profile", IdentitySource::Profile),
        ("webIdentity", IdentitySource::WebIdentity),
        ("container", IdentitySource::Container),
        ("imds", IdentitySource::Imds),
    ] {
        assert_eq!(discriminant(&settings(&[("credentialSource", word)]).identity.source), discriminant(&source));
    }
    let process = settings(&[("credentialProcess", "keys --now")]).identity.source;
    assert!(matches!(process, IdentitySource::Process(command) if command.expose_secret() == "keys --now"));
}

#[test]
fn empty_fields_count_as_missing() {
    let names = ["accessKey", "secretKey", "sessionToken", "profile", "credentialSource", "assumeRoleArn", "region"];
    let more = ["awsRegion", "roleExternalId", "sessionName", "stsEndpoint", "credentialsFile", "trustAnchorArn"];
    let items: Vec<(&str, &str)> = names.into_iter().chain(more).map(|name| (name, "")).collect();
    let settings = settings(&items);
    assert!(settings.credentials.is_none() && settings.region.is_none());
    assert!(matches!(settings.identity.source, IdentitySource::Chain));
}

#[test]
fn fields_that_exclude_each_other_are_a_fault_that_names_both() {
    let keys = [("accessKey", "AK"), ("secretKey", "SK")];
    let with = |more: &[(&'static str, &'static str)]| keys.iter().chain(more).copied().collect::<Vec<_>>();
    for (items, parts) in [
        (vec![("accessKey", "AK")], ["`secretKey`", "`accessKey`"]),
        (vec![("sessionToken", "T")], ["`accessKey`", "`sessionToken`"]),
        (with(&[("profile", "p")]), ["`accessKey`", "`profile`"]),
        (with(&[("credentialsFile", "/f")]), ["`accessKey`", "`credentialsFile`"]),
        (with(&[("credentialSource", "imds")]), ["`accessKey`", "`credentialSource: imds`"]),
        (vec![("profile", "p"), ("credentialProcess", "c")], ["`profile`", "`credentialProcess`"]),
        (vec![("profile", "p"), ("credentialSource", "environment")], ["`profile`", "`credentialSource: environment`"]),
        (vec![("credentialSource", "static")], ["`accessKey`", "`static`"]),
        (vec![("credentialSource", "process")], ["`credentialProcess`", "`process`"]),
        (vec![("assumeRoleExternalId", "ab")], ["`assumeRoleExternalId`", "`assumeRoleArn`"]),
        (vec![("assumeRoleDuration", "1h")], ["`assumeRoleDuration`", "`assumeRoleArn`"]),
        (vec![("region", "eu-west-1"), ("awsRegion", "eu-west-1")], ["`awsRegion`", "`region`"]),
    ] {
        let shown = check_fields(&items).faults.to_string();
        assert!(parts.iter().all(|part| shown.contains(part)), "{items:?}: {shown}");
    }
}

#[test]
fn white_space_around_a_value_is_removed_with_a_notice() {
    let items = [
        ("accessKey", "AKIA\r\n"),
        ("secretKey", " S"),
        ("sessionToken", "T\t"),
        ("region", "eu-central-1\n"),
        ("endpoint", " http://localhost:4566\n"),
        ("stsEndpoint", "http://localhost:4566 "),
    ];
    let result = check_fields(&items);
    assert!(result.faults.is_empty(), "{}", result.faults);
    for (field, _) in items {
        let is_named =
            |notice: &crate::manifest::Notice| notice.text.contains(&format!("field `{field}`: white space"));
        assert!(result.notices.iter().any(is_named), "{field}: {:?}", result.notices);
    }
    assert!(!format!("{:?}", result.notices).contains("AKIA"));
    let connection = result.components.into_iter().next().unwrap();
    let connection = connection.connection().unwrap();
    let keys = connection.credentials.as_ref().unwrap();
    assert_eq!((keys.access_key.as_str(), keys.secret_key.expose_secret()), ("AKIA", "S"));
    assert_eq!(keys.session_token.as_ref().map(|token| token.expose_secret()), Some("T"));
    assert_eq!(connection.region.as_deref(), Some("eu-central-1"));
    assert_eq!(connection.endpoint.as_deref(), Some("http://localhost:4566"));
    assert_eq!(connection.identity.sts_endpoint.as_deref(), Some("http://localhost:4566"));
}

#[test]
fn a_key_that_no_http_header_can_hold_is_a_fault_and_is_not_shown() {
    for field in ["accessKey", "secretKey", "sessionToken"] {
        for value in ["tops\necret", "tops\recret", "tops\u{1b}ecret", "topsécret", "tops\tecret"] {
            let mut items = vec![("accessKey", "A"), ("secretKey", "S"), ("sessionToken", "T")];
            items.iter_mut().filter(|(name, _)| *name == field).for_each(|item| item.1 = value);
            let result = check_fields(&items);
            let shown = result.faults.to_string();
            assert!(shown.contains(&format!("field `{field}`: the value has a control character")), "{shown}");
            assert!(!shown.contains("tops") && result.faults.len() == 1, "{shown}");
        }
    }
}

#[test]
fn a_blank_key_counts_as_missing() {
    let blank = check_fields(&[("accessKey", " "), ("secretKey", "\n"), ("profile", "till")]);
    assert!(blank.faults.is_empty(), "{}", blank.faults);
    assert!(blank.components[0].connection().unwrap().credentials.is_none() && blank.notices.len() == 2);
    let half = check_fields(&[("accessKey", "A"), ("secretKey", " ")]).faults.to_string();
    assert!(half.contains("field `secretKey`: the field is missing, although `accessKey` is given"), "{half}");
}

#[test]
fn all_fields_that_conflict_are_named_at_once() {
    let four = [("secretKey", "S"), ("accessKey", "A"), ("credentialProcess", "c"), ("profile", "p")];
    let shown = check_fields(&four).faults.to_string();
    for part in [
        "`accessKey`, `secretKey`, `profile` and `credentialProcess` cannot apply together",
        "keep only `accessKey` and `secretKey`, or only `profile`, or only `credentialProcess`",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let shown = check_fields(&[&four[..], &[("credentialSource", "imds")]].concat()).faults.to_string();
    let part = "`accessKey`, `secretKey`, `profile` and `credentialProcess` cannot apply together with `credentialSource: imds`";
    assert!(shown.contains(part), "{shown}");
    assert_eq!(check_fields(&four).faults.len(), 1);
}

#[test]
fn an_unsupported_source_is_refused_with_an_alternative() {
    for (items, part) in [
        (("credentialSource", "sso"), "export-credentials --profile NAME --format process"),
        (("credentialSource", "rolesAnywhere"), "Roles Anywhere credential helper"),
        (("trustAnchorArn", "arn:aws:rolesanywhere:x"), "Roles Anywhere credential helper"),
        (("credentialSource", "enviroment"), "did you mean `environment`"),
    ] {
        let shown = check_fields(&[items]).faults.to_string();
        assert!(shown.contains(part), "{items:?}: {shown}");
    }
}

#[test]
fn wrong_values_of_a_role_are_faults() {
    let chained = format!("{ROLE},{ROLE}");
    for (items, part) in [
        (vec![("assumeRoleArn", "writer")], "not the ARN of a role"),
        (vec![("assumeRoleArn", "arn:aws:iam::1:role/x")], "not the ARN of a role"),
        (
            vec![("region", "cn-north-1"), ("assumeRoleArn", ROLE)],
            "partition `aws`, but region `cn-north-1` is of `aws-cn`",
        ),
        (vec![("assumeRoleArn", chained.as_str()), ("assumeRoleDuration", "2h")], "1 h at most"),
        (vec![("assumeRoleArn", ROLE), ("assumeRoleDuration", "1m")], "out of range"),
        (vec![("assumeRoleArn", ROLE), ("sessionName", "a b")], "a session name has"),
        (vec![("assumeRoleArn", ROLE), ("assumeRoleExternalId", "x")], "an external id has"),
    ] {
        let shown = check_fields(&items).faults.to_string();
        assert!(shown.contains(part), "{items:?}: {shown}");
    }
}

#[test]
fn a_misspelt_region_gets_a_suggestion() {
    for (region, part) in [
        ("eu-cental-1", "did you mean `eu-central-1`?"),
        ("us-esat-1", "did you mean `us-east-1`?"),
        ("EU-West-1", "did you mean `eu-west-1`?"),
        ("atlantis", "allowUnknownRegion"),
    ] {
        let shown = check_fields(&[("region", region)]).faults.to_string();
        assert!(shown.contains(part), "{region}: {shown}");
    }
    for more in [("allowUnknownRegion", "true"), ("endpoint", "http://localhost:4566")] {
        assert_eq!(settings(&[("awsRegion", "local-test"), more]).region.as_deref(), Some("local-test"));
    }
}

#[test]
fn a_possibly_new_region_is_only_a_notice() {
    let result = check_fields(&[("region", "eu-south-9")]);
    assert!(result.faults.is_empty() && result.components.len() == 1, "{}", result.faults);
    assert!(result.notices[0].text.contains("new one of partition `aws`"), "{:?}", result.notices);
}

#[test]
fn the_partition_of_an_arn_is_that_of_its_region() {
    let table = "arn:aws-cn:dynamodb:us-east-1:123456789012:table/orders";
    let shown = {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: x}}\nspec:\n  type: bindings.aws.dynamodb\n  \
             version: v1\n  metadata: [{{name: table, value: \"{table}\"}}]\n"
        );
        std::fs::write(folder.path().join("a.yaml"), text).unwrap();
        let paths = [folder.path().to_owned()];
        let request = LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment: &Empty };
        check(load(&request)).faults.to_string()
    };
    assert!(
        shown.contains("field `table`: the ARN is of partition `aws-cn`, but region `us-east-1` is of `aws`"),
        "{shown}"
    );
}
