//! Keys that no HTTP header can carry, or with white space around, from every source. Nothing is sent with a bad one.

use super::cloud::{CONTAINER_TOKEN, Cloud};
use super::program::Bench;
use serde_json::Value;

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

/// The exit code, all that was printed, and the report.
async fn run(bench: &Bench) -> (i32, String, Value) {
    let output = bench.command(&["check", "--connect", "--json"]).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr), report)
}

/// The calls are signed by this key, and the log or the report says that something was removed from the field.
async fn is_trimmed(cloud: &Cloud, bench: &Bench, key: &str, field: &str) {
    let (code, text, report) = run(bench).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(cloud.calls("DescribeStreamSummary").pop().unwrap().key, key, "{report:#}");
    assert!(text.contains("white space around") && text.contains(field), "{field}: {text}");
    assert!(!text.contains("panicked"), "{text}");
}

/// Nothing is sent; the fault names field and source, not the value.
async fn is_refused(cloud: &Cloud, bench: &Bench, words: &[&str]) {
    let (code, text, _) = run(bench).await;
    assert_eq!(code, 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert!(!text.contains("panicked") && !text.contains("topsecret"), "{text}");
    assert!(cloud.calls("DescribeStreamSummary").is_empty());
}

fn keyed<'a>(url: &'a str, key: &'a str, secret: &'a str, token: &'a str) -> [(&'a str, &'a str); 4] {
    [("endpoint", url), ("accessKey", key), ("secretKey", secret), ("sessionToken", token)]
}

#[tokio::test]
async fn keys_of_the_component_file() {
    let cloud = Cloud::start().await;
    let url = cloud.url();
    for (field, items) in [
        ("accessKey", keyed(&url, "AKIAFILE00000001\n", "s", "t")),
        ("secretKey", keyed(&url, "AKIAFILE00000001", " s\r\n", "t")),
        ("sessionToken", keyed(&url, "AKIAFILE00000001", "s", "\tt ")),
    ] {
        is_trimmed(&cloud, &Bench::new(&items), "AKIAFILE00000001", field).await;
        assert_eq!(cloud.calls("DescribeStreamSummary").pop().unwrap().token, "t");
    }
    let cloud = Cloud::start().await;
    let url = cloud.url();
    for (field, items) in [
        ("accessKey", keyed(&url, "topsecret\nAKIA", "s", "t")),
        ("accessKey", keyed(&url, "topsecretÄ", "s", "t")),
        ("secretKey", keyed(&url, "AKIA", "topsecret\u{1b}s", "t")),
        ("sessionToken", keyed(&url, "AKIA", "s", "topsecret\u{0}t")),
    ] {
        is_refused(&cloud, &Bench::new(&items), &[field, "control character", "copied exactly"]).await;
    }
    // Nothing but white space is absent, and half a pair is a fault as ever.
    is_refused(&cloud, &Bench::new(&keyed(&url, " \n", "topsecret", "t")), &["accessKey", "missing"]).await;
}

#[tokio::test]
async fn keys_of_a_secret() {
    let cloud = Cloud::start().await;
    let secrets = r#"{"key": "AKIASECRET000001\n", "bad": "topsecret\u0007AKIA", "secret": "s\n"}"#;
    let store = |bench: &Bench| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: vault}}\nspec:\n  type: \
             secretstores.local.file\n  version: v1\n  metadata:\n  - {{name: secretsFile, value: {}}}\n",
            bench.path("secrets.json").display()
        )
    };
    let component = |key: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  type: \
             bindings.aws.kinesis\n  version: v1\n  metadata:\n  - {{name: streamName, value: orders}}\n  - {{name: region, \
             value: eu-central-1}}\n  - {{name: direction, value: output}}\n  - {{name: endpoint, value: '{}'}}\n  - \
             {{name: accessKey, secretKeyRef: {{name: {key}, key: {key}}}}}\n  - {{name: secretKey, secretKeyRef: {{name: \
             secret, key: secret}}}}\nauth: {{secretStore: vault}}\n",
            cloud.url()
        )
    };
    let bench = Bench::new(&[]).file("secrets.json", secrets).file("components/orders.yaml", &component("key"));
    let text = store(&bench);
    let bench = bench.file("components/vault.yaml", &text);
    is_trimmed(&cloud, &bench, "AKIASECRET000001", "accessKey").await;
    let cloud = Cloud::start().await;
    let bench = bench.file("components/orders.yaml", &component("bad"));
    is_refused(&cloud, &bench, &["accessKey", "control character"]).await;
}

#[tokio::test]
async fn keys_of_the_environment() {
    let cloud = Cloud::start().await;
    let bench = || Bench::new(&[("endpoint", &cloud.url())]).with("AWS_SECRET_ACCESS_KEY", "s");
    let padded = bench().with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1\n").with("AWS_SESSION_TOKEN", "t");
    is_trimmed(&cloud, &padded, "AKIAENVIRONMENT1", "AWS_ACCESS_KEY_ID").await;
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[("endpoint", &cloud.url())]).with("AWS_SECRET_ACCESS_KEY", "s");
    let bad = bench.with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1").with("AWS_SESSION_TOKEN", "topsecret\nt");
    is_refused(&cloud, &bad, &["environment: ", "session token", "control character"]).await;
}

#[tokio::test]
async fn keys_of_shared_files_and_of_a_file_of_their_own() {
    let text = "[default]\naws_access_key_id = AKIADEFAULT00001\naws_secret_access_key = s\naws_session_token = tops\u{7f}ecret\n";
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[("endpoint", &cloud.url())]).file(".aws/credentials", text);
    is_refused(&cloud, &bench, &["shared files: ", "session token", "control character"]).await;
    let own = Bench::new(&[("endpoint", &cloud.url())]).file("own", text);
    let path = own.path("own").display().to_string();
    let bench = Bench::new(&[("endpoint", &cloud.url()), ("credentialsFile", &path)]);
    is_refused(&cloud, &bench, &["/own: ", "session token", "control character"]).await;
    drop(own);
}

/// The SDK signs with such keys itself before they come to bindd; it fails on a token, and panics on an id.
#[tokio::test]
async fn keys_of_a_source_profile() {
    let cloud = Cloud::start().await;
    for (key, token) in [("AKIABASE00000001", "tops\u{7f}ecret"), ("tops\u{7f}ecret", "t")] {
        let text = format!(
            "[base]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = {token}\n\
             [till]\nrole_arn = {ROLE}\nsource_profile = base\n"
        );
        let bench = Bench::new(&[("endpoint", &cloud.url()), ("profile", "till")])
            .file(".aws/credentials", &text)
            .with("AWS_ENDPOINT_URL_STS", &cloud.url());
        let (code, text, report) = run(&bench).await;
        assert_eq!(code, 1, "{text}");
        let hint = report["access"][0]["findings"][0]["hint"].as_str().unwrap();
        assert!(hint.contains("profile `till`: a key or token of this source cannot be sent"), "{hint}");
        assert!(!text.contains("ecret\n") && cloud.seen().is_empty(), "{text}");
    }
}

#[tokio::test]
async fn keys_of_a_process() {
    let printed = |key: &str| {
        let json = format!(r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"s","SessionToken":"t"}}"#);
        format!("cat <<'EOF'\n{json}\nEOF\n")
    };
    let cloud = Cloud::start().await;
    let own = |cloud: &Cloud, key: &str| {
        let items = [("endpoint", cloud.url()), ("credentialProcess", "sh \"$HOME/keys.sh\"".to_owned())];
        let items: Vec<_> = items.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Bench::new(&items).file("keys.sh", &printed(key))
    };
    is_trimmed(&cloud, &own(&cloud, r"AKIAPROCESS00001\n"), "AKIAPROCESS00001", "access key id").await;
    let cloud = Cloud::start().await;
    is_refused(&cloud, &own(&cloud, r"topsecret\nAKIA"), &["credential process: ", "access key id"]).await;
}

#[tokio::test]
async fn keys_of_a_container_of_an_instance_and_of_a_session() {
    let bench = |cloud: &Cloud| {
        let bench = Bench::new(&[("endpoint", &cloud.url())]).file("token", CONTAINER_TOKEN);
        let token = bench.path("token").display().to_string();
        bench
            .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/container", cloud.url()))
            .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
    };
    let cloud = Cloud::start().await;
    cloud.container_gives(Some("ASIACONTAINER0001\n"));
    is_trimmed(&cloud, &bench(&cloud), "ASIACONTAINER0001", "access key id").await;
    let cloud = Cloud::start().await;
    cloud.container_gives(Some("topsecret\u{7}ASIA"));
    is_refused(&cloud, &bench(&cloud), &["container: ", "access key id", "control character"]).await;

    let cloud = Cloud::start().await;
    let padded = bench(&cloud).file("token", &format!("{CONTAINER_TOKEN}\n"));
    is_refused(&cloud, &padded, &["container: ", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "line break"]).await;

    let instance = |cloud: &Cloud| {
        Bench::new(&[("endpoint", &cloud.url())])
            .with("AWS_EC2_METADATA_DISABLED", "false")
            .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &cloud.url())
    };
    let cloud = Cloud::start().await;
    cloud.instance_gives("topsecret\u{7}ASIA");
    is_refused(&cloud, &instance(&cloud), &["instance metadata: ", "access key id", "control character"]).await;

    let cloud = Cloud::start().await;
    cloud.sessions_end_in("topsecret&#xE4;");
    let url = cloud.url();
    let items = [("stsEndpoint", url.as_str()), ("assumeRoleArn", ROLE)];
    let items: Vec<_> = items.into_iter().chain(keyed(&url, "AKIAFILE00000001", "s", "t")).collect();
    is_refused(&cloud, &Bench::new(&items), &[ROLE, "session token", "control character"]).await;
    let exchanged = Bench::new(&[("endpoint", &url)]).file("token", "jwt-1");
    let token = exchanged.path("token").display().to_string();
    let exchanged = exchanged
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .with("AWS_ROLE_ARN", ROLE)
        .with("AWS_ENDPOINT_URL_STS", &url);
    is_refused(&cloud, &exchanged, &["web identity: ", "session token", "control character"]).await;
}

#[tokio::test]
async fn other_settings_with_white_space_around() {
    let cloud = Cloud::start().await;
    let padded = format!("{}\n", cloud.url());
    let text = "[default]\naws_access_key_id = AKIADEFAULT00001\naws_secret_access_key = s\n\
                [till]\naws_access_key_id = AKIATILL00000002\naws_secret_access_key = s\n";
    let items = [("endpoint", padded.as_str()), ("region", "eu-central-1\n"), ("profile", " till\n")];
    let bench = Bench::new(&items).file(".aws/credentials", text);
    for field in ["endpoint", "region", "profile"] {
        is_trimmed(&cloud, &bench, "AKIATILL00000002", field).await;
    }
    let url = cloud.url();
    let variables = Bench::new(&[("endpoint", url.as_str()), ("region", "")])
        .file(".aws/credentials", text)
        .with("AWS_REGION", "eu-central-1\n")
        .with("AWS_PROFILE", "till\n");
    is_trimmed(&cloud, &variables, "AKIATILL00000002", "AWS_PROFILE").await;
    let cloud = Cloud::start().await;
    let keys = [("accessKey", "AKIAFILE00000001"), ("secretKey", "s")];
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"] {
        let bench = Bench::new(&keys).with(name, &format!("{}\n", cloud.url()));
        is_refused(&cloud, &bench, &[name, "white space"]).await;
    }
}
