//! `check --connect` and `policy`, as a user sees them.

use super::fake_aws::FakeAws;
use super::program::Program;
use serde_json::Value;

const KEYS: [(&str, &str); 2] = [("accessKey", "AKIAFILE00000001"), ("secretKey", "s")];

fn program(fake_aws: &FakeAws, more: &[(&str, &str)]) -> Program {
    let url = fake_aws.url();
    Program::new(&KEYS.iter().chain(more).copied().chain([("endpoint", url.as_str())]).collect::<Vec<_>>())
}

/// Call and result of each row.
fn rows(report: &Value) -> Vec<(String, String)> {
    let findings = report["access"][0]["findings"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings.iter().map(|finding| (text(&finding["tried"]), text(&finding["result"]))).collect()
}

fn row(call: &str, result: &str) -> (String, String) {
    (call.to_owned(), result.to_owned())
}

#[tokio::test]
async fn an_output_is_checked_without_writing() {
    let fake_aws = FakeAws::start().await;
    let (code, report) = program(&fake_aws, &[]).probe().await;
    assert_eq!(code, 0);
    let expected =
        [row("DescribeStreamSummary", "ok"), row("PutRecord (dry run)", "not_needed"), row("ListShards", "ok")];
    assert_eq!(rows(&report), expected);
    assert!(fake_aws.calls("PutRecord").is_empty(), "an emulator might store a dry run");
    assert!(fake_aws.calls("GetCallerIdentity").is_empty(), "keys of an emulator are not sent to AWS");
}

#[tokio::test]
async fn an_input_is_checked_with_its_lease_table() {
    let fake_aws = FakeAws::start().await;
    let (code, report) = program(&fake_aws, &[("direction", "input"), ("mode", "extended")]).probe().await;
    let expected = ["DescribeStreamSummary", "ListShards", "DescribeStreamConsumer", "DescribeTable"];
    assert_eq!((code, rows(&report)), (0, expected.map(|call| row(call, "ok")).to_vec()), "{report:#}");
    assert!(report.to_string().contains("dynamodb:CreateTable"), "{report:#}");
}

#[tokio::test]
async fn a_stream_without_order_by_key_is_reported() {
    let fake_aws = FakeAws::start().await;
    fake_aws.set_distribution("AUTO");
    for (order, code, result) in [("key", 1, "failed"), ("shard", 0, "ok"), ("none", 0, "ok")] {
        let (found, report) = program(&fake_aws, &[("direction", "input"), ("order", order)]).probe().await;
        assert_eq!((found, rows(&report).remove(0)), (code, row("DescribeStreamSummary", result)), "{report:#}");
        assert_eq!(report.to_string().contains("set `order: shard` or `order: none`"), code == 1, "{report:#}");
    }
    let (code, _) = program(&fake_aws, &[]).probe().await;
    assert_eq!(code, 0, "an output has its own field for it");
}

#[tokio::test]
async fn a_denied_required_permission_fails_with_a_remedy() {
    let fake_aws = FakeAws::start().await;
    fake_aws.deny("GetShardIterator");
    fake_aws.deny("DescribeStreamSummary");
    let (code, report) = program(&fake_aws, &[("direction", "input")]).probe().await;
    assert_eq!(code, 1);
    let expected = [
        row("DescribeStreamSummary", "not_needed"),
        row("ListShards", "ok"),
        row("GetShardIterator", "denied"),
        row("DescribeTable", "ok"),
    ];
    assert_eq!(rows(&report), expected, "{report:#}");
    assert!(report.to_string().contains("`bindd policy` prints what to allow"), "{report:#}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_wrong_keys_are_denied() {
    let fake_aws = FakeAws::start().await;
    fake_aws.reject_key("AKIAFILE00000001");
    let (code, report) = program(&fake_aws, &[]).probe().await;
    assert_eq!((code, rows(&report)), (1, vec![row("DescribeStreamSummary", "denied")]), "{report:#}");
    let closed_port = Program::new(&[KEYS[0], KEYS[1], ("endpoint", "http://127.0.0.1:1")]);
    let (code, report) = closed_port.probe().await;
    assert_eq!((code, rows(&report)), (1, vec![row("DescribeStreamSummary", "unreachable")]), "{report:#}");
}

#[tokio::test]
async fn the_default_report_is_a_table() {
    let fake_aws = FakeAws::start().await;
    let output = program(&fake_aws, &[]).command(&["check", "--connect"]).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[2].starts_with("COMPONENT  TRIED"), "{text}");
    assert!(lines[3].starts_with("orders     credentials") && lines[3].ends_with("component file (…0001)"), "{text}");
    assert!(
        lines[4].contains("DescribeStreamSummary  orders") && lines[4].ends_with("ok          stream is ACTIVE"),
        "{text}"
    );
}

#[tokio::test]
async fn only_the_policy_is_printed_on_standard_output() {
    let fake_aws = FakeAws::start().await;
    let output = program(&fake_aws, &[]).command(&["policy"]).output().await.unwrap();
    let policy: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(policy["Statement"][0]["Resource"][0], "arn:aws:kinesis:eu-central-1:*:stream/orders");
    assert!(String::from_utf8_lossy(&output.stderr).contains("KMS"), "{output:?}");
    assert!(fake_aws.seen().is_empty());
    let faulty = program(&fake_aws, &[("region", "eu-cental-1")]);
    // With an endpoint any region is accepted; without one an unknown region is an error.
    assert_eq!(faulty.command(&["policy"]).output().await.unwrap().status.code(), Some(0));
    let faulty = Program::new(&[("region", "eu-cental-1")]).command(&["policy"]).output().await.unwrap();
    assert_eq!((faulty.status.code(), faulty.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(String::from_utf8_lossy(&faulty.stderr).contains("did you mean `eu-central-1`"), "{faulty:?}");
}
