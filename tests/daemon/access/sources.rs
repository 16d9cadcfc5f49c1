//! Every place that credentials can come from.

use super::cloud::{CONTAINER_TOKEN, Cloud};
use super::program::Bench;

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

#[tokio::test]
async fn keys_of_the_file_sign_the_calls() {
    let cloud = Cloud::start().await;
    let keys = [("endpoint", cloud.url()), ("accessKey", "AKIAFILE00000001".to_owned()), ("secretKey", "s".to_owned())];
    let items: Vec<(&str, &str)> = keys.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (identity, signed) = Bench::new(&items).identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("component file (…0001)", "AKIAFILE00000001"));
    let with_token: Vec<_> = items.into_iter().chain([("sessionToken", "file-token")]).collect();
    Bench::new(&with_token).identity(&cloud).await;
    assert_eq!(cloud.calls("DescribeStreamSummary").pop().unwrap().token, "file-token");
}

#[tokio::test]
async fn the_environment_is_asked_when_the_file_says_nothing() {
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[("endpoint", &cloud.url())])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1")
        .with("AWS_SECRET_ACCESS_KEY", "s")
        .with("AWS_SESSION_TOKEN", "env-token");
    let (identity, signed) = bench.identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("environment (…ENT1)", "AKIAENVIRONMENT1"));
    assert_eq!(cloud.calls("DescribeStreamSummary").pop().unwrap().token, "env-token");
}

#[tokio::test]
async fn the_shared_files_and_a_named_profile_are_read() {
    let cloud = Cloud::start().await;
    let text = "[default]\naws_access_key_id = AKIADEFAULT00001\naws_secret_access_key = s\n\
                [till]\naws_access_key_id = AKIATILL00000002\naws_secret_access_key = s\n";
    let (identity, signed) =
        Bench::new(&[("endpoint", &cloud.url())]).file(".aws/credentials", text).identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("shared files (…0001)", "AKIADEFAULT00001"));
    let named = Bench::new(&[("endpoint", &cloud.url()), ("profile", "till")]).file(".aws/credentials", text);
    // A named profile outranks the environment.
    let named = named.with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1").with("AWS_SECRET_ACCESS_KEY", "s");
    let (identity, signed) = named.identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("profile `till` (…0002)", "AKIATILL00000002"));
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_a_session() {
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[("endpoint", &cloud.url()), ("sessionName", "till")]).file("token", "jwt-1");
    let token = bench.path("token").display().to_string();
    let bench = bench
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .with("AWS_ROLE_ARN", ROLE)
        .with("AWS_ENDPOINT_URL_STS", &cloud.url());
    let (identity, signed) = bench.identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("web identity (…0001)", "ASIASESSION00001"));
    let exchange = cloud.calls("AssumeRoleWithWebIdentity").pop().unwrap();
    assert!(exchange.body.contains("WebIdentityToken=jwt-1") && exchange.body.contains("RoleSessionName=till"));
    assert_eq!(exchange.key, "", "the token is the credential");
}

#[tokio::test]
async fn a_container_gets_its_credentials_with_the_token_of_the_file() {
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[("endpoint", &cloud.url())]).file("token", CONTAINER_TOKEN);
    let token = bench.path("token").display().to_string();
    let bench = bench
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/container", cloud.url()))
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
        // A proxy is not asked for what is on this machine.
        .with("HTTP_PROXY", "http://127.0.0.1:1");
    let (identity, signed) = bench.identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("container (…0001)", "ASIACONTAINER0001"));
    assert_eq!(cloud.calls("DescribeStreamSummary").pop().unwrap().token, "token-of-ASIACONTAINER0001");
}

#[tokio::test]
async fn an_instance_is_asked_by_version_2_of_its_metadata() {
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[("endpoint", &cloud.url()), ("region", "")])
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &cloud.url())
        .with("HTTP_PROXY", "http://127.0.0.1:1");
    let (identity, signed) = bench.identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("instance metadata (…0001)", "ASIAINSTANCE00001"));
    assert!(!cloud.calls("/latest/meta-data/placement/region").is_empty(), "the region came from the instance too");
}

#[tokio::test]
async fn a_process_prints_credentials() {
    let cloud = Cloud::start().await;
    let script = "echo '{\"Version\":1,\"AccessKeyId\":\"AKIAPROCESS00001\",\"SecretAccessKey\":\"s\"}'";
    let own = Bench::new(&[("endpoint", &cloud.url()), ("credentialProcess", "sh \"$HOME/keys.sh\"")]);
    let (identity, signed) = own.file("keys.sh", script).identity(&cloud).await;
    assert_eq!((identity.as_str(), signed.as_str()), ("credential process (…0001)", "AKIAPROCESS00001"));
    // And as AWS's tools have it, in a profile.
    let shared = Bench::new(&[("endpoint", &cloud.url())]).file("keys.sh", script);
    let config = format!("[default]\ncredential_process = sh {}\n", shared.path("keys.sh").display());
    let (identity, _) = shared.file(".aws/config", &config).identity(&cloud).await;
    assert_eq!(identity, "shared files (…0001)");
}

#[tokio::test]
async fn roles_are_assumed_one_after_the_other() {
    let cloud = Cloud::start().await;
    let (chain, url) = (format!("{ROLE},{ROLE}2"), cloud.url());
    let bench = Bench::new(&[
        ("endpoint", url.as_str()),
        ("stsEndpoint", url.as_str()),
        ("accessKey", "AKIAFILE00000001"),
        ("secretKey", "s"),
        ("assumeRoleArn", chain.as_str()),
        ("assumeRoleExternalId", "shop-7"),
        ("sessionName", "till"),
        ("assumeRoleDuration", "20m"),
    ]);
    let (identity, signed) = bench.identity(&cloud).await;
    assert_eq!(signed, "ASIASESSION00002");
    assert!(identity.contains(&format!("component file → {ROLE} → {ROLE}2")), "{identity}");
    assert!(identity.starts_with("arn:aws:sts::123456789012:assumed-role/writer/x from"), "{identity}");
    let assumed = cloud.calls("AssumeRole");
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
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[("endpoint", &cloud.url()), ("credentialSource", "imds")])
        .with("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT1")
        .with("AWS_SECRET_ACCESS_KEY", "s")
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &cloud.url());
    assert_eq!(bench.identity(&cloud).await.1, "ASIAINSTANCE00001");
}

#[tokio::test]
async fn an_error_names_each_source_and_what_it_said() {
    let cloud = Cloud::start().await;
    let (code, report) = Bench::new(&[("endpoint", &cloud.url())]).probe().await;
    let finding = &report["access"][0]["findings"][0];
    assert_eq!((code, finding["result"].as_str()), (1, Some("no_credentials")), "{report:#}");
    let hint = finding["hint"].as_str().unwrap();
    for source in ["environment: ", "shared files: ", "web identity: ", "container: ", "instance metadata: "] {
        assert!(hint.contains(source), "{source} is not in {hint}");
    }
    assert!(cloud.calls("DescribeStreamSummary").is_empty(), "nothing is sent unsigned");
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_told_with_the_answer_of_sts() {
    let cloud = Cloud::start().await;
    let bench = Bench::new(&[
        ("endpoint", &cloud.url()),
        ("stsEndpoint", &cloud.url()),
        ("accessKey", "AKIAFILE00000001"),
        ("secretKey", "topsecret"),
        ("assumeRoleArn", "arn:aws:iam::123456789012:role/forbidden"),
    ]);
    let (code, report) = bench.probe().await;
    let hint = report["access"][0]["findings"][0]["hint"].as_str().unwrap();
    assert!(code == 1 && hint.contains("role/forbidden: operation error STS: AssumeRole"), "{report:#}");
    assert!(hint.contains("not authorized to perform sts:AssumeRole") && !hint.contains("topsecret"), "{hint}");
}
