//! `check --connect` and `policy`, as a user sees them.

use super::cloud::Cloud;
use super::program::Bench;
use serde_json::Value;

const KEYS: [(&str, &str); 2] = [("accessKey", "AKIAFILE00000001"), ("secretKey", "s")];

fn bench(cloud: &Cloud, more: &[(&str, &str)]) -> Bench {
    let url = cloud.url();
    Bench::new(&KEYS.iter().chain(more).copied().chain([("endpoint", url.as_str())]).collect::<Vec<_>>())
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
async fn an_output_is_tried_without_writing() {
    let cloud = Cloud::start().await;
    let (code, report) = bench(&cloud, &[]).probe().await;
    assert_eq!(code, 0);
    let expected =
        [row("DescribeStreamSummary", "ok"), row("PutRecord (dry run)", "not_needed"), row("ListShards", "ok")];
    assert_eq!(rows(&report), expected);
    assert!(cloud.calls("PutRecord").is_empty(), "an emulator might store a dry run");
    assert!(cloud.calls("GetCallerIdentity").is_empty(), "an emulator's keys are not shown to AWS");
}

#[tokio::test]
async fn an_input_is_tried_with_its_leases() {
    let cloud = Cloud::start().await;
    let (code, report) = bench(&cloud, &[("direction", "input"), ("mode", "extended")]).probe().await;
    let expected =
        ["DescribeStreamSummary", "ListShards", "GetShardIterator", "DescribeStreamConsumer", "DescribeTable"];
    assert_eq!((code, rows(&report)), (0, expected.map(|call| row(call, "ok")).to_vec()), "{report:#}");
    assert!(report.to_string().contains("dynamodb:CreateTable"), "{report:#}");
}

#[tokio::test]
async fn what_is_denied_and_needed_fails_with_advice() {
    let cloud = Cloud::start().await;
    cloud.deny("GetShardIterator");
    cloud.deny("DescribeStreamSummary");
    let (code, report) = bench(&cloud, &[("direction", "input")]).probe().await;
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
async fn nobody_there_is_unreachable_and_wrong_keys_are_denied() {
    let cloud = Cloud::start().await;
    cloud.refuse("AKIAFILE00000001");
    let (code, report) = bench(&cloud, &[]).probe().await;
    assert_eq!((code, rows(&report)), (1, vec![row("DescribeStreamSummary", "denied")]), "{report:#}");
    let nobody = Bench::new(&[KEYS[0], KEYS[1], ("endpoint", "http://127.0.0.1:1")]);
    let (code, report) = nobody.probe().await;
    assert_eq!((code, rows(&report)), (1, vec![row("DescribeStreamSummary", "unreachable")]), "{report:#}");
}

#[tokio::test]
async fn the_table_is_for_people() {
    let cloud = Cloud::start().await;
    let output = bench(&cloud, &[]).command(&["check", "--connect"]).output().await.unwrap();
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
async fn the_policy_is_printed_alone_on_standard_output() {
    let cloud = Cloud::start().await;
    let output = bench(&cloud, &[]).command(&["policy"]).output().await.unwrap();
    let policy: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(policy["Statement"][0]["Resource"][0], "arn:aws:kinesis:eu-central-1:*:stream/orders");
    assert!(String::from_utf8_lossy(&output.stderr).contains("KMS"), "{output:?}");
    assert!(cloud.seen().is_empty());
    let faulty = bench(&cloud, &[("region", "eu-cental-1")]);
    // An endpoint makes any region right; without one it is a typing error.
    assert_eq!(faulty.command(&["policy"]).output().await.unwrap().status.code(), Some(0));
    let faulty = Bench::new(&[("region", "eu-cental-1")]).command(&["policy"]).output().await.unwrap();
    assert_eq!((faulty.status.code(), faulty.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(String::from_utf8_lossy(&faulty.stderr).contains("did you mean `eu-central-1`"), "{faulty:?}");
}
