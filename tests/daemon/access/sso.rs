//! Profiles that log in by ways that are not built in, however they are reached.

use super::cloud::Cloud;
use super::program::Bench;

const DIRECT: &str = "sso_start_url = https://d-1.awsapps.com/start\nsso_region = eu-central-1\n\
                      sso_account_id = 123456789012\nsso_role_name = writer\n";
const BY_SESSION: &str = "sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = writer\n\
                          [sso-session corp]\nsso_start_url = https://d-1.awsapps.com/start\nsso_region = eu-central-1\n";

async fn hint(bench: &Bench, cloud: &Cloud) -> String {
    let (code, report) = bench.probe().await;
    assert_eq!(code, 1, "{report:#}");
    assert!(cloud.calls("DescribeStreamSummary").is_empty());
    report["access"][0]["findings"][0]["hint"].as_str().unwrap().to_owned()
}

fn assert_remedy(hint: &str, profile: &str, login: &str) {
    let command = format!("`aws configure export-credentials --profile {profile} --format process`");
    assert!(hint.contains(&command) && hint.contains("`credentialProcess`"), "{hint}");
    assert!(hint.contains(&format!("`{login} --profile {profile}`")), "{hint}");
    assert!(!hint.contains("cargo") && !hint.contains("feature"), "{hint}");
}

#[tokio::test]
async fn every_way_to_an_sso_profile_names_the_process_that_logs_in() {
    let cloud = Cloud::start().await;
    let url = cloud.url();
    let bench = |items: &[(&str, &str)], config: &str| {
        let items: Vec<_> = items.iter().copied().chain([("endpoint", url.as_str())]).collect();
        Bench::new(&items).file(".aws/config", config)
    };
    let named = format!("[profile till]\n{DIRECT}");
    assert_remedy(&hint(&bench(&[("profile", "till")], &named), &cloud).await, "till", "aws sso login");
    let by_variable = bench(&[], &named).with("AWS_PROFILE", "till");
    assert_remedy(&hint(&by_variable, &cloud).await, "till", "aws sso login");
    let default = bench(&[], &format!("[default]\n{DIRECT}"));
    assert_remedy(&hint(&default, &cloud).await, "default", "aws sso login");
    let by_session = bench(&[("profile", "till")], &format!("[profile till]\n{BY_SESSION}"));
    assert_remedy(&hint(&by_session, &cloud).await, "till", "aws sso login");
    let role = "role_arn = arn:aws:iam::123456789012:role/writer\nsource_profile = base\n";
    let chained = bench(&[("profile", "till")], &format!("[profile till]\n{role}[profile base]\n{DIRECT}"));
    assert_remedy(&hint(&chained, &cloud).await, "till", "aws sso login");
    let session = "login_session = arn:aws:iam::123456789012:user/x\n";
    let login = bench(&[("profile", "till")], &format!("[profile till]\n{session}"));
    assert_remedy(&hint(&login, &cloud).await, "till", "aws login");
}
