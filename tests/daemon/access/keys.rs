//! Keys that cannot be sent in an HTTP header, or have surrounding white space, from every source. A call with an invalid
//! key is never sent.

use super::fake_aws::{CONTAINER_TOKEN, FakeAws};
use super::program::Program;
use serde_json::Value;

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

/// The exit code, the whole output, and the report.
async fn run(program: &Program) -> (i32, String, Value) {
    let output = program.command(&["check", "--connect", "--json"]).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr), report)
}

/// Calls are signed with this key, and the log or the report says that white space was removed from the field.
async fn assert_trimmed(fake_aws: &FakeAws, program: &Program, key: &str, field: &str) {
    let (code, text, report) = run(program).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(fake_aws.calls("DescribeStreamSummary").pop().unwrap().key, key, "{report:#}");
    assert!(text.contains("white space around") && text.contains(field), "{field}: {text}");
    assert!(!text.contains("panicked"), "{text}");
}

/// No call is sent; the error names field and source, but not the value.
async fn assert_rejected(fake_aws: &FakeAws, program: &Program, expected: &[&str]) {
    let (code, text, _) = run(program).await;
    assert_eq!(code, 1, "{text}");
    for part in expected {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("panicked") && !text.contains("topsecret"), "{text}");
    assert!(fake_aws.calls("DescribeStreamSummary").is_empty());
}

fn key_items<'a>(url: &'a str, key: &'a str, secret: &'a str, token: &'a str) -> [(&'a str, &'a str); 4] {
    [("endpoint", url), ("accessKey", key), ("secretKey", secret), ("sessionToken", token)]
}

#[tokio::test]
async fn keys_of_the_component_file() {
    let fake_aws = FakeAws::start().await;
    let url = fake_aws.url();
    for (field, items) in [
        ("accessKey", key_items(&url, "AKIAFILE00000001\n", "s", "t")),
        ("secretKey", key_items(&url, "AKIAFILE00000001", " s\r\n", "t")),
        ("sessionToken", key_items(&url, "AKIAFILE00000001", "s", "\tt ")),
    ] {
        assert_trimmed(&fake_aws, &Program::new(&items), "AKIAFILE00000001", field).await;
        assert_eq!(fake_aws.calls("DescribeStreamSummary").pop().unwrap().token, "t");
    }
    let fake_aws = FakeAws::start().await;
    let url = fake_aws.url();
    for (field, items) in [
        ("accessKey", key_items(&url, "topsecret\nAKIA", "s", "t")),
        ("accessKey", key_items(&url, "topsecretÄ", "s", "t")),
        ("secretKey", key_items(&url, "AKIA", "topsecret\u{1b}s", "t")),
        ("sessionToken", key_items(&url, "AKIA", "s", "topsecret\u{0}t")),
    ] {
        assert_rejected(&fake_aws, &Program::new(&items), &[field, "control character", "copied exactly"]).await;
    }
    // A value of white space only counts as missing, and half a key pair is an error.
    assert_rejected(&fake_aws, &Program::new(&key_items(&url, " \n", "topsecret", "t")), &["accessKey", "missing"])
        .await;
}

#[tokio::test]
async fn keys_of_a_secret() {
    let fake_aws = FakeAws::start().await;
    let secrets = r#"{"key": "AKIASECRET000001\n", "bad": "topsecret\u0007AKIA", "secret": "s\n"}"#;
    let store = |program: &Program| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: vault}}\nspec:\n  type: \
             secretstores.local.file\n  version: v1\n  metadata:\n  - {{name: secretsFile, value: {}}}\n",
            program.path("secrets.json").display()
        )
    };
    let component = |key: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  type: \
             bindings.aws.kinesis\n  version: v1\n  metadata:\n  - {{name: streamName, value: orders}}\n  - {{name: region, \
             value: eu-central-1}}\n  - {{name: direction, value: output}}\n  - {{name: endpoint, value: '{}'}}\n  - \
             {{name: accessKey, secretKeyRef: {{name: {key}, key: {key}}}}}\n  - {{name: secretKey, secretKeyRef: {{name: \
             secret, key: secret}}}}\nauth: {{secretStore: vault}}\n",
            fake_aws.url()
        )
    };
    let program = Program::new(&[]).file("secrets.json", secrets).file("components/orders.yaml", &component("key"));
    let text = store(&program);
    let program = program.file("components/vault.yaml", &text);
    assert_trimmed(&fake_aws, &program, "AKIASECRET000001", "accessKey").await;
    let fake_aws = FakeAws::start().await;
    let program = program.file("components/orders.yaml", &component("bad"));
    assert_rejected(&fake_aws, &program, &["accessKey", "control character"]).await;
}

#[tokio::test]
async fn keys_of_the_environment() {
    let fake_aws = FakeAws::start().await;
    let program = || Program::new(&[("endpoint", &fake_aws.url())]).with("AWS_SECRET_ACCESS_KEY", "s");
    let padded = program().with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1\n").with("AWS_SESSION_TOKEN", "t");
    assert_trimmed(&fake_aws, &padded, "AKIAENVIRONMENT1", "AWS_ACCESS_KEY_ID").await;
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[("endpoint", &fake_aws.url())]).with("AWS_SECRET_ACCESS_KEY", "s");
    let bad = program.with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1").with("AWS_SESSION_TOKEN", "topsecret\nt");
    assert_rejected(&fake_aws, &bad, &["environment: ", "session token", "control character"]).await;
}

#[tokio::test]
async fn keys_of_shared_files_and_of_a_credentials_file() {
    let text = "[default]\naws_access_key_id = AKIADEFAULT00001\naws_secret_access_key = s\naws_session_token = tops\u{7f}ecret\n";
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[("endpoint", &fake_aws.url())]).file(".aws/credentials", text);
    assert_rejected(&fake_aws, &program, &["shared files: ", "session token", "control character"]).await;
    let own = Program::new(&[("endpoint", &fake_aws.url())]).file("own", text);
    let path = own.path("own").display().to_string();
    let program = Program::new(&[("endpoint", &fake_aws.url()), ("credentialsFile", &path)]);
    assert_rejected(&fake_aws, &program, &["/own: ", "session token", "control character"]).await;
    drop(own);
}

/// Here the SDK signs before bindd sees the keys; it fails on such a token, and panics on such an access key id.
#[tokio::test]
async fn keys_of_a_source_profile() {
    let fake_aws = FakeAws::start().await;
    for (key, token) in [("AKIABASE00000001", "tops\u{7f}ecret"), ("tops\u{7f}ecret", "t")] {
        let text = format!(
            "[base]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = {token}\n\
             [till]\nrole_arn = {ROLE}\nsource_profile = base\n"
        );
        let program = Program::new(&[("endpoint", &fake_aws.url()), ("profile", "till")])
            .file(".aws/credentials", &text)
            .with("AWS_ENDPOINT_URL_STS", &fake_aws.url());
        let (code, text, report) = run(&program).await;
        assert_eq!(code, 1, "{text}");
        let hint = report["access"][0]["findings"][0]["hint"].as_str().unwrap();
        assert!(hint.contains("profile `till`: a key or token of this source cannot be sent"), "{hint}");
        assert!(!text.contains("ecret\n") && fake_aws.seen().is_empty(), "{text}");
    }
}

#[tokio::test]
async fn keys_of_a_process() {
    let printed = |key: &str| {
        let json = format!(r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"s","SessionToken":"t"}}"#);
        format!("cat <<'EOF'\n{json}\nEOF\n")
    };
    let fake_aws = FakeAws::start().await;
    let own = |fake_aws: &FakeAws, key: &str| {
        let items = [("endpoint", fake_aws.url()), ("credentialProcess", "sh \"$HOME/keys.sh\"".to_owned())];
        let items: Vec<_> = items.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::new(&items).file("keys.sh", &printed(key))
    };
    assert_trimmed(&fake_aws, &own(&fake_aws, r"AKIAPROCESS00001\n"), "AKIAPROCESS00001", "access key id").await;
    let fake_aws = FakeAws::start().await;
    assert_rejected(&fake_aws, &own(&fake_aws, r"topsecret\nAKIA"), &["credential process: ", "access key id"]).await;
}

#[tokio::test]
async fn keys_of_a_container_of_an_instance_and_of_a_session() {
    let program = |fake_aws: &FakeAws| {
        let program = Program::new(&[("endpoint", &fake_aws.url())]).file("token", CONTAINER_TOKEN);
        let token = program.path("token").display().to_string();
        program
            .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/container", fake_aws.url()))
            .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
    };
    let fake_aws = FakeAws::start().await;
    fake_aws.set_container_key(Some("ASIACONTAINER0001\n"));
    assert_trimmed(&fake_aws, &program(&fake_aws), "ASIACONTAINER0001", "access key id").await;
    let fake_aws = FakeAws::start().await;
    fake_aws.set_container_key(Some("topsecret\u{7}ASIA"));
    assert_rejected(&fake_aws, &program(&fake_aws), &["container: ", "access key id", "control character"]).await;

    let fake_aws = FakeAws::start().await;
    let padded = program(&fake_aws).file("token", &format!("{CONTAINER_TOKEN}\n"));
    assert_rejected(&fake_aws, &padded, &["container: ", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "line break"]).await;

    let instance = |fake_aws: &FakeAws| {
        Program::new(&[("endpoint", &fake_aws.url())])
            .with("AWS_EC2_METADATA_DISABLED", "false")
            .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &fake_aws.url())
    };
    let fake_aws = FakeAws::start().await;
    fake_aws.set_instance_key("topsecret\u{7}ASIA");
    assert_rejected(&fake_aws, &instance(&fake_aws), &["instance metadata: ", "access key id", "control character"])
        .await;

    let fake_aws = FakeAws::start().await;
    fake_aws.set_session_token_suffix("topsecret&#xE4;");
    let url = fake_aws.url();
    let items = [("stsEndpoint", url.as_str()), ("assumeRoleArn", ROLE)];
    let items: Vec<_> = items.into_iter().chain(key_items(&url, "AKIAFILE00000001", "s", "t")).collect();
    assert_rejected(&fake_aws, &Program::new(&items), &[ROLE, "session token", "control character"]).await;
    let exchanged = Program::new(&[("endpoint", &url)]).file("token", "jwt-1");
    let token = exchanged.path("token").display().to_string();
    let exchanged = exchanged
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .with("AWS_ROLE_ARN", ROLE)
        .with("AWS_ENDPOINT_URL_STS", &url);
    assert_rejected(&fake_aws, &exchanged, &["web identity: ", "session token", "control character"]).await;
}

#[tokio::test]
async fn other_settings_with_surrounding_white_space() {
    let fake_aws = FakeAws::start().await;
    let padded = format!("{}\n", fake_aws.url());
    let text = "[default]\naws_access_key_id = AKIADEFAULT00001\naws_secret_access_key = s\n\
                [till]\naws_access_key_id = AKIATILL00000002\naws_secret_access_key = s\n";
    let items = [("endpoint", padded.as_str()), ("region", "eu-central-1\n"), ("profile", " till\n")];
    let program = Program::new(&items).file(".aws/credentials", text);
    for field in ["endpoint", "region", "profile"] {
        assert_trimmed(&fake_aws, &program, "AKIATILL00000002", field).await;
    }
    let url = fake_aws.url();
    let variables = Program::new(&[("endpoint", url.as_str()), ("region", "")])
        .file(".aws/credentials", text)
        .with("AWS_REGION", "eu-central-1\n")
        .with("AWS_PROFILE", "till\n");
    assert_trimmed(&fake_aws, &variables, "AKIATILL00000002", "AWS_PROFILE").await;
    let fake_aws = FakeAws::start().await;
    let keys = [("accessKey", "AKIAFILE00000001"), ("secretKey", "s")];
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"] {
        let program = Program::new(&keys).with(name, &format!("{}\n", fake_aws.url()));
        assert_rejected(&fake_aws, &program, &[name, "white space"]).await;
    }
}
