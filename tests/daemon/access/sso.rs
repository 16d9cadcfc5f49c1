//! Profiles with a login that bindd does not support, such as SSO.

use super::fake_aws::FakeAws;
use super::program::Program;

const DIRECT: &str = "sso_start_url = https://d-1.awsapps.com/start\nsso_region = eu-central-1\n\
                      sso_account_id = 123456789012\nsso_role_name = writer\n";
const BY_SESSION: &str = "sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = writer\n\
                          [sso-session corp]\nsso_start_url = https://d-1.awsapps.com/start\nsso_region = eu-central-1\n";

async fn hint(program: &Program, fake_aws: &FakeAws) -> String {
    let (code, report) = program.probe().await;
    assert_eq!(code, 1, "{report:#}");
    assert!(fake_aws.calls("DescribeStreamSummary").is_empty());
    report["access"][0]["findings"][0]["hint"].as_str().unwrap().to_owned()
}

fn assert_remedy(hint: &str, profile: &str, login: &str) {
    let command = format!("`aws configure export-credentials --profile {profile} --format process`");
    assert!(hint.contains(&command) && hint.contains("`credentialProcess`"), "{hint}");
    assert!(hint.contains(&format!("`{login} --profile {profile}`")), "{hint}");
    assert!(!hint.contains("cargo") && !hint.contains("feature"), "{hint}");
}

#[tokio::test]
async fn every_use_of_an_sso_profile_names_the_command_to_log_in() {
    let fake_aws = FakeAws::start().await;
    let url = fake_aws.url();
    let program = |items: &[(&str, &str)], config: &str| {
        let items: Vec<_> = items.iter().copied().chain([("endpoint", url.as_str())]).collect();
        Program::new(&items).file(".aws/config", config)
    };
    let named = format!("[profile till]\n{DIRECT}");
    assert_remedy(&hint(&program(&[("profile", "till")], &named), &fake_aws).await, "till", "aws sso login");
    let by_variable = program(&[], &named).with("AWS_PROFILE", "till");
    assert_remedy(&hint(&by_variable, &fake_aws).await, "till", "aws sso login");
    let default = program(&[], &format!("[default]\n{DIRECT}"));
    assert_remedy(&hint(&default, &fake_aws).await, "default", "aws sso login");
    let by_session = program(&[("profile", "till")], &format!("[profile till]\n{BY_SESSION}"));
    assert_remedy(&hint(&by_session, &fake_aws).await, "till", "aws sso login");
    let role = "role_arn = arn:aws:iam::123456789012:role/writer\nsource_profile = base\n";
    let chained = program(&[("profile", "till")], &format!("[profile till]\n{role}[profile base]\n{DIRECT}"));
    assert_remedy(&hint(&chained, &fake_aws).await, "till", "aws sso login");
    let session = "login_session = arn:aws:iam::123456789012:user/x\n";
    let login = program(&[("profile", "till")], &format!("[profile till]\n{session}"));
    assert_remedy(&hint(&login, &fake_aws).await, "till", "aws login");
}
