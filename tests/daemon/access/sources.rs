//! Every source of credentials.

use super::fake_aws::{CONTAINER_TOKEN, FakeAws};
use super::program::Program;

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

#[tokio::test]
async fn keys_of_the_component_file_sign_the_calls() {
    let fake_aws = FakeAws::start().await;
    let keys =
        [("endpoint", fake_aws.url()), ("accessKey", "AKIAFILE00000001".to_owned()), ("secretKey", "s".to_owned())];
    let items: Vec<(&str, &str)> = keys.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (identity, signed) = Program::new(&items).identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("component file (…0001)", "AKIAFILE00000001"));
    let with_token: Vec<_> = items.into_iter().chain([("sessionToken", "file-token")]).collect();
    Program::new(&with_token).identity(&fake_aws).await;
    assert_eq!(fake_aws.calls("DescribeStreamSummary").pop().unwrap().token, "file-token");
}

#[tokio::test]
async fn the_environment_is_used_without_keys_in_the_component_file() {
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[("endpoint", &fake_aws.url())])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1")
        .with("AWS_SECRET_ACCESS_KEY", "s")
        .with("AWS_SESSION_TOKEN", "env-token");
    let (identity, signed) = program.identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("environment (…ENT1)", "AKIAENVIRONMENT1"));
    assert_eq!(fake_aws.calls("DescribeStreamSummary").pop().unwrap().token, "env-token");
}

#[tokio::test]
async fn the_shared_files_and_a_named_profile_are_read() {
    let fake_aws = FakeAws::start().await;
    let text = "[default]\naws_access_key_id = AKIADEFAULT00001\naws_secret_access_key = s\n\
                [till]\naws_access_key_id = AKIATILL00000002\naws_secret_access_key = s\n";
    let (identity, signed) =
        Program::new(&[("endpoint", &fake_aws.url())]).file(".aws/credentials", text).identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("shared files (…0001)", "AKIADEFAULT00001"));
    let named = Program::new(&[("endpoint", &fake_aws.url()), ("profile", "till")]).file(".aws/credentials", text);
    // A named profile takes precedence over the environment.
    let named = named.with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1").with("AWS_SECRET_ACCESS_KEY", "s");
    let (identity, signed) = named.identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("profile `till` (…0002)", "AKIATILL00000002"));
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_a_session() {
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[("endpoint", &fake_aws.url()), ("sessionName", "till")]).file("token", "jwt-1");
    let token = program.path("token").display().to_string();
    let program = program
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .with("AWS_ROLE_ARN", ROLE)
        .with("AWS_ENDPOINT_URL_STS", &fake_aws.url());
    let (identity, signed) = program.identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("web identity (…0001)", "ASIASESSION00001"));
    let exchange = fake_aws.calls("AssumeRoleWithWebIdentity").pop().unwrap();
    assert!(exchange.body.contains("WebIdentityToken=jwt-1") && exchange.body.contains("RoleSessionName=till"));
    assert_eq!(exchange.key, "", "the token is the credential");
}

#[tokio::test]
async fn a_container_gets_its_credentials_with_the_token_of_the_file() {
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[("endpoint", &fake_aws.url())]).file("token", CONTAINER_TOKEN);
    let token = program.path("token").display().to_string();
    let program = program
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/container", fake_aws.url()))
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
        // A proxy is not used for loopback addresses.
        .with("HTTP_PROXY", "http://127.0.0.1:1");
    let (identity, signed) = program.identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("container (…0001)", "ASIACONTAINER0001"));
    assert_eq!(fake_aws.calls("DescribeStreamSummary").pop().unwrap().token, "token-of-ASIACONTAINER0001");
}

#[tokio::test]
async fn instance_credentials_come_from_imds_version_2() {
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[("endpoint", &fake_aws.url()), ("region", "")])
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &fake_aws.url())
        .with("HTTP_PROXY", "http://127.0.0.1:1");
    let (identity, signed) = program.identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("instance metadata (…0001)", "ASIAINSTANCE00001"));
    assert!(!fake_aws.calls("/latest/meta-data/placement/region").is_empty(), "the region came from the instance too");
}

#[tokio::test]
async fn a_process_prints_credentials() {
    let fake_aws = FakeAws::start().await;
    let script = "echo '{\"Version\":1,\"AccessKeyId\":\"AKIAPROCESS00001\",\"SecretAccessKey\":\"s\"}'";
    let own = Program::new(&[("endpoint", &fake_aws.url()), ("credentialProcess", "sh \"$HOME/keys.sh\"")]);
    let (identity, signed) = own.file("keys.sh", script).identity(&fake_aws).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("credential process (…0001)", "AKIAPROCESS00001"));
    // The same in a profile, as the AWS CLI supports it.
    let shared = Program::new(&[("endpoint", &fake_aws.url())]).file("keys.sh", script);
    let config = format!("[default]\ncredential_process = sh {}\n", shared.path("keys.sh").display());
    let (identity, _) = shared.file(".aws/config", &config).identity(&fake_aws).await;
    assert_eq!(identity, "shared files (…0001)");
}

#[tokio::test]
async fn roles_are_assumed_one_after_the_other() {
    let fake_aws = FakeAws::start().await;
    let (chain, url) = (format!("{ROLE},{ROLE}2"), fake_aws.url());
    let program = Program::new(&[
        ("endpoint", url.as_str()),
        ("stsEndpoint", url.as_str()),
        ("accessKey", "AKIAFILE00000001"),
        ("secretKey", "s"),
        ("assumeRoleArn", chain.as_str()),
        ("assumeRoleExternalId", "shop-7"),
        ("sessionName", "till"),
        ("assumeRoleDuration", "20m"),
    ]);
    let (identity, signed) = program.identity(&fake_aws).await;
    assert_eq!(signed, "ASIASESSION00002");
    assert!(identity.contains(&format!("component file → {ROLE} → {ROLE}2")), "{identity}");
    assert!(identity.starts_with("arn:aws:sts::123456789012:assumed-role/writer/x from"), "{identity}");
    let assumed = fake_aws.calls("AssumeRole");
    assert_eq!(
        assumed.iter().map(|call| call.key.as_str()).collect::<Vec<_>>(),
        ["AKIAFILE00000001", "ASIASESSION00001"]
    );
    assert!(!assumed[0].body.contains("ExternalId") && assumed[1].body.contains("ExternalId=shop-7"), "{assumed:?}");
    assert!(!assumed[0].body.contains("DurationSeconds") && assumed[1].body.contains("DurationSeconds=1200"));
    assert!(assumed.iter().all(|call| call.body.contains("RoleSessionName=till")));
}

#[tokio::test]
async fn one_source_can_be_forced() {
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[("endpoint", &fake_aws.url()), ("credentialSource", "imds")])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1")
        .with("AWS_SECRET_ACCESS_KEY", "s")
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &fake_aws.url());
    assert_eq!(program.identity(&fake_aws).await.1, "ASIAINSTANCE00001");
}

#[tokio::test]
async fn an_error_names_each_source_and_its_failure() {
    let fake_aws = FakeAws::start().await;
    let (code, report) = Program::new(&[("endpoint", &fake_aws.url())]).probe().await;
    let finding = &report["access"][0]["findings"][0];
    assert_eq!((code, finding["result"].as_str()), (1, Some("no_credentials")), "{report:#}");
    let hint = finding["hint"].as_str().unwrap();
    for source in ["environment: ", "shared files: ", "web identity: ", "container: ", "instance metadata: "] {
        assert!(hint.contains(source), "{source} is not in {hint}");
    }
    assert!(fake_aws.calls("DescribeStreamSummary").is_empty(), "no unsigned call is sent");
}

#[tokio::test]
async fn the_error_of_a_forbidden_role_contains_the_response_of_sts() {
    let fake_aws = FakeAws::start().await;
    let program = Program::new(&[
        ("endpoint", &fake_aws.url()),
        ("stsEndpoint", &fake_aws.url()),
        ("accessKey", "AKIAFILE00000001"),
        ("secretKey", "topsecret"),
        ("assumeRoleArn", "arn:aws:iam::123456789012:role/forbidden"),
    ]);
    let (code, report) = program.probe().await;
    let hint = report["access"][0]["findings"][0]["hint"].as_str().unwrap();
    assert!(code == 1 && hint.contains("role/forbidden: operation error STS: AssumeRole"), "{report:#}");
    assert!(hint.contains("not authorized to perform sts:AssumeRole") && !hint.contains("topsecret"), "{hint}");
}
