//! `bindd try`, as a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Starts `bindd try` in a folder.
fn start(folder: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
    // Nothing of AWS is set, so a call would have no credentials to make it with.
    command.arg("try").args(args).current_dir(folder).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The result of `bindd try` with this standard input.
pub(crate) fn run(folder: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = start(folder, args);
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that ends with a fault does not read its input.
            let _unread = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    })
}

fn folder(fields: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.yaml"), component("orders", fields)).unwrap();
    folder
}

fn component(name: &str, fields: &[(&str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  type: bindings.aws.kinesis\n  \
         version: v1\n  metadata:\n  - {{name: streamName, value: orders}}\n"
    );
    for (name, value) in fields {
        text.push_str(&format!("  - name: {name}\n    value: {}\n", serde_json::json!(value)));
    }
    text
}

/// Standard output, standard error and exit code for the component with these fields.
fn tried(fields: &[(&str, &str)], args: &[&str], input: &str) -> (String, String, Option<i32>) {
    let folder = folder(fields);
    let args = [&["--file", "orders.yaml"], args].concat();
    let Output { status, stdout, stderr } = run(folder.path(), &args, input.as_bytes());
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

/// MD5 of `c-17` as a number.
const HASH: &str = "146071825190439638704466073634825402563";

#[test]
fn each_record_of_an_output_has_its_key_and_its_hash_key() {
    let fields = [("direction", "output"), ("partitionKeyFrom", "/customer")];
    let input = "{\"customer\":\"c-17\"}\n\n{\"customer\":[]}\n";
    let (output, error, code) = tried(&fields, &[], input);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], format!("1: record key=c-17 hash={HASH} {{\"customer\":\"c-17\"}}"), "{error}");
    assert!(lines[1].starts_with("3: failed: `/customer` in the data (`partitionKeyFrom`)"), "{output}");
    assert_eq!((lines.len(), error.as_str(), code), (2, "", Some(1)));

    let request = r#"{"data":{"customer":"x"},"metadata":{"partitionKey":"c-17","explicitHashKey":"5"}}"#;
    let (output, _, code) = tried(&fields, &["--objects", "--json"], request);
    let expected = r#"{"line":1,"result":"record","records":[{"partitionKey":"c-17","hashKey":"5","data":"{\"customer\":\"x\"}"}]}"#;
    assert_eq!((output.trim_end(), code), (expected, Some(0)));
}

#[test]
fn options_of_the_request_act_as_at_the_sidecar() {
    let fields = [("direction", "output")];
    let (output, _, _) = tried(&fields, &["--metadata", "rawPayload=true"], "\"a\\tb\"\n");
    assert_eq!(output, "1: record key=(random) a\\tb\n");
    let args = ["--metadata", "partitionKey=c-17", "--metadata", "decodeBase64=true"];
    let (output, _, code) = tried(&fields, &args, "\"AP8=\"\n17\n");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], format!("1: record key=c-17 hash={HASH} base64:AP8="));
    assert!(lines[1].starts_with("2: failed: `data` must be a JSON string"), "{output}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_record_of_an_input_is_what_the_app_would_get() {
    let fields = [
        ("decompress", "auto"),
        ("filter", r#"{"data": {"a": [{"exists": true}]}, "partitionKey": [{"prefix": "c-"}]}"#),
        ("transform", ". + {key: $metadata.partitionKey, at: $metadata.approximateArrivalTimestamp}"),
    ];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(br#"{"a":2}"#).unwrap();
    let packed = base64_simd::STANDARD.encode_to_string(encoder.finish().unwrap());
    let lines = [
        r#"{"data": {"a": 1}, "partitionKey": "c-1", "approximateArrivalTimestamp": 1795256000.5}"#.to_owned(),
        format!(r#"{{"dataBase64": "{packed}", "partitionKey": "c-2"}}"#),
        r#"{"dataBase64": "H4sI", "partitionKey": "c-3"}"#.to_owned(),
        r#"{"data": {"a": 1}}"#.to_owned(),
        r#"{"data": {"a": 1}, "metadata": {}}"#.to_owned(),
    ];
    let (output, error, code) = tried(&fields, &["--input", "--objects"], &lines.join("\n"));
    let shown: Vec<&str> = output.lines().collect();
    assert_eq!(shown[0], r#"1: record {"a":1,"key":"c-1","at":"1795256000.500"}"#, "{output}{error}");
    assert_eq!(shown[1], r#"2: record {"a":2,"key":"c-2","at":"1428537600.000"}"#);
    assert_eq!(shown[2], "3: filtered: it is not gzip, or damaged, so it is not decompressed");
    assert_eq!(shown[3], "4: filtered");
    assert!(shown[4].starts_with("5: failed: with --objects, a line is an object such as"), "{output}");
    assert!(shown[4].contains("unknown field `metadata`; known are `data`, `dataBase64`, `partitionKey`"), "{output}");
    assert_eq!((shown.len(), code), (5, Some(1)));
}

#[test]
fn filters_and_transforms_say_what_they_do() {
    let transform = "if .n == null then error(\"no n\") else .n[] | {n: .} end";
    for (on_error, expected) in [
        ("fail", "failed: `transform` failed on the record: the program failed: no n"),
        ("passthrough", "passed_through: `transform` failed on the record: the program failed: no n"),
        ("drop-counted", "dropped: `transform` failed on the record: the program failed: no n"),
    ] {
        let fields = [
            ("direction", "output"),
            ("partitionKeyExpression", ".n // \"none\""),
            ("filter", r#"[{"data": {"n": [{"exists": true}]}}, {"data": {"n": [{"exists": false}], "x": [1]}}]"#),
            ("transform", transform),
            ("transformOnError", on_error),
        ];
        let (output, error, code) = tried(&fields, &[], "{\"n\":[1,2]}\n{}\n{\"x\":1}\n{\"n\":[]}\n");
        let shown: Vec<&str> = output.lines().collect();
        assert!(shown[0].starts_with("1: record key=1 hash=") && shown[0].ends_with(" {\"n\":1}"), "{output}{error}");
        assert!(shown[1].starts_with("1: record key=2 hash=") && shown[1].ends_with(" {\"n\":2}"), "{output}");
        assert_eq!((shown[2], shown[3]), ("2: filtered", format!("3: {expected}").as_str()));
        let passes = on_error == "passthrough";
        assert_eq!(shown[4].starts_with("3: record key=none"), passes, "{output}");
        assert_eq!(shown.last(), Some(&"4: filtered"), "{output}");
        assert_eq!(code, Some(i32::from(on_error == "fail")));
    }
}

#[test]
fn an_item_of_a_table_is_shown_as_it_would_be_stored() {
    let text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: rows}\nspec:\n  \
                type: bindings.aws.dynamodb\n  version: v1\n  metadata:\n  - {name: table, value: orders}\n  \
                - {name: transform, value: '{id, total} | select(.total > 0), select(.total > 9)'}\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rows.yaml"), text).unwrap();
    let input = b"{\"id\":1,\"total\":5,\"x\":1}\n{\"id\":2,\"total\":0}\n{\"id\":3,\"total\":10}\n";
    let Output { stdout, .. } = run(folder.path(), &["--file", "rows.yaml"], input);
    let output = String::from_utf8(stdout).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["1: record {\"id\":1,\"total\":5}", "2: filtered"], "{output}");
    assert!(lines[2].starts_with("3: failed: ") && lines[2].contains("made 2 items of one"), "{output}");
}

#[test]
fn secrets_and_variables_need_not_be_known() {
    let text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: orders}\nauth: {secretStore: vault}\nspec:\n  \
                type: bindings.aws.kinesis\n  version: v1\n  metadata:\n  - {name: streamName, value: orders}\n  \
                - {name: direction, value: output}\n  - {name: partitionKey, value: all}\n  \
                - {name: accessKey, secretKeyRef: {name: aws, key: id}}\n  - {name: secretKey, envRef: NOT_SET}\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.yaml"), text).unwrap();
    let Output { status, stdout, stderr } = run(folder.path(), &["--resources-path", "."], b"1\n");
    let (output, error) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(output.starts_with("1: record key=all hash="), "{output}{error}");
    assert!(error.contains("`secretKey`") && status.code() == Some(0), "{error}");
}

#[test]
fn the_component_is_the_one_that_is_named_or_the_only_one() {
    let folder = folder(&[("direction", "output"), ("partitionKey", "all")]);
    let other = component("faulty", &[("direction", "output"), ("partitionKey", "")]);
    std::fs::write(folder.path().join("faulty.yaml"), other + "  - {name: compression, value: zstd}\n").unwrap();
    let run = |args: &[&str]| {
        let Output { status, stdout, stderr } =
            run(folder.path(), &[&["--resources-path", "."], args].concat(), b"1\n");
        (String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap(), status.code())
    };
    let (text, code) = run(&["--component", "orders"]);
    assert!(text.starts_with("1: record key=all") && code == Some(0), "{text}");
    for (args, part) in [
        (&["--component", "faulty"][..], "`compression`"),
        (&["--component", "faulty"], "bindd: component `faulty` has faults\n"),
        (&["--component", "absent"], "bindd: there is no component `absent`; there are: orders\n"),
        (&[], "bindd: the files have faults; correct them, or choose a component without with --component: orders\n"),
        (&[], "`compression`"),
        (&["--component", "orders", "--input"], "`orders` has no input; leave --input out"),
    ] {
        let (text, code) = run(args);
        assert!(text.contains(part) && code == Some(1), "{text}");
    }
    for field in ["ignoreErrors", "disabled"] {
        let other = component("other", &[("compression", "zstd")]) + &format!("  {field}: true\n");
        std::fs::write(folder.path().join("other.yaml"), other).unwrap();
        let (text, _) = run(&["--component", "other"]);
        assert!(text.starts_with("bindd: component `other` has faults\nnotice: ") && text.contains("`zstd`"), "{text}");
    }
    std::fs::remove_file(folder.path().join("other.yaml")).unwrap();
    std::fs::remove_file(folder.path().join("orders.yaml")).unwrap();
    assert!(run(&[]).0.starts_with("bindd: the files have faults\n"), "{}", run(&[]).0);
    std::fs::write(folder.path().join("faulty.yaml"), component("rows", &[("direction", "output")])).unwrap();
    assert!(run(&["--input"]).0.starts_with("bindd: there is no input of Kinesis or DynamoDB to try"));
    std::fs::write(folder.path().join("other.yaml"), component("more", &[("direction", "output")])).unwrap();
    assert_eq!(run(&[]).0, "bindd: choose one with --component; there are: rows, more\n".to_owned());
    for wrong in [&["--file", "x.yaml"][..], &["--metadata", "x"], &["--input", "--metadata", "a=b"]] {
        assert_eq!(run(wrong).1, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_line_is_answered_before_the_next_one_comes() {
    let folder = folder(&[("direction", "output"), ("partitionKey", "all")]);
    let mut child = start(folder.path(), &["--file", "orders.yaml"]);
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for number in 1..=3 {
        writeln!(stdin, "{number}").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("{number}: record key=all")) && line.ends_with(&format!(" {number}\n")));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_record_that_is_too_large_fails_as_it_would_at_the_sidecar() {
    let large = format!("\"{}\"\n", "x".repeat((1 << 20) - 5));
    let (output, error, code) = tried(&[("direction", "output"), ("partitionKey", "all")], &[], &large);
    assert!(output.starts_with("1: record key=all") && code == Some(0), "{error}");
    let larger = format!("\"{}\"\n", "x".repeat((1 << 20) - 4));
    let (output, _, code) = tried(&[("direction", "output"), ("partitionKey", "all")], &[], &larger);
    assert!(output.starts_with("1: failed: the record has 1048577 bytes, payload and partition key together"));
    assert_eq!((output.lines().count(), code), (1, Some(1)));
    let fields = [("direction", "output"), ("partitionKey", "all"), ("compression", "gzip")];
    assert_eq!(tried(&fields, &[], &larger).2, Some(0), "its size counts after compression");
    let fields = [("direction", "output"), ("maxRecordSize", "10"), ("partitionKeyFrom", "/k"), ("transform", ".[]")];
    let (output, _, _) = tried(&fields, &[], "[{\"k\":1},{\"k\":12345}]\n");
    assert!(output.starts_with("1: failed: the record has 16 bytes"), "{output}");
}

#[test]
fn a_request_that_the_sidecar_refuses_is_no_record() {
    let refused = "1: failed: the record is not JSON (column 1), so a request with it would be refused";
    let fields = [("direction", "output"), ("partitionKey", "all")];
    let (output, _, code) = tried(&fields, &[], "plain text\n{\"a\":1}\n{\"a\":\n");
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with(refused) && lines[2].starts_with("3: failed: the record is not JSON"), "{output}");
    assert!(lines[1].starts_with("2: record key=all") && code == Some(1), "{output}");
    let raw = [&fields[..], &[("allowRawBody", "true")]].concat();
    let (output, _, code) = tried(&raw, &[], "plain text\n");
    assert!(
        output.starts_with("1: record key=all") && output.ends_with(" plain text\n") && code == Some(0),
        "{output}"
    );
    let (output, _, code) = tried(&fields, &["--objects"], "{\"dataBase64\":\"AP8=\"}\n");
    assert!(output.ends_with(" base64:AP8=\n") && code == Some(0), "a call over gRPC takes any bytes: {output}");
}

/// Standard output and exit code for a table with these fields.
fn tried_table(fields: &str, args: &[&str], input: &str) -> (String, Option<i32>) {
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: rows}}\nspec:\n  type: bindings.aws.dynamodb\n  \
         version: v1\n  metadata:\n  - {{name: table, value: orders}}\n{fields}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rows.yaml"), text).unwrap();
    let args = [&["--file", "rows.yaml"], args].concat();
    let Output { status, stdout, .. } = run(folder.path(), &args, input.as_bytes());
    (String::from_utf8(stdout).unwrap(), status.code())
}

#[test]
fn an_item_that_cannot_be_stored_fails() {
    let fields =
        "  - {name: partitionKeyName, value: id}\n  - {name: transform, value: 'select(.skip != true) | del(.drop)'}\n";
    let large = format!("{{\"id\":\"a\",\"x\":\"{}\"}}", "x".repeat(400 << 10));
    let input = [
        r#"{"id":"a","n":1.50,"drop":1}"#,
        r#"{"n":1}"#,
        r#"{"id":true}"#,
        r#"{"id":""}"#,
        r#"{"id":"a","n":1e200}"#,
        r#"{"id":"a","n":123456789012345678901234567890123456789}"#,
        &large,
        r#"[1]"#,
        "text",
        r#"{"skip":true}"#,
    ];
    let (output, code) = tried_table(fields, &[], &input.join("\n"));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], r#"1: record {"id":"a","n":1.50}"#, "{output}");
    for (line, part) in [
        (1, "2: failed: the key attribute `id` is missing"),
        (2, "3: failed: the key attribute `id` must be a string, a number or binary"),
        (3, "4: failed: the key attribute `id` must not be empty"),
        (4, "5: failed: "),
        (5, "6: failed: "),
        (6, "7: failed: "),
        (7, "8: failed: "),
        (8, "9: failed: the record is not JSON"),
        (9, "10: filtered"),
    ] {
        assert!(lines[line].starts_with(part) && lines[line].len() < 400, "{}", lines[line]);
    }
    assert!(lines[6].contains("400 KiB") || lines[6].contains("409600"), "{}", lines[6]);
    assert_eq!((lines.len(), code), (10, Some(1)));
    let (output, _) = tried_table("", &["--metadata", "ttlInSeconds=5"], "{\"id\":1}\n");
    assert!(output.contains("1: failed: `ttlInSeconds` needs an attribute"), "{output}");
}

#[test]
fn what_is_not_known_of_a_record_is_that_of_the_sample_event_of_lambda() {
    let fields = [("direction", "input"), ("transform", "$metadata"), ("onPoison", "halt-key")];
    let (output, error, code) = tried(&fields, &["--json"], "1\n");
    let shown: serde_json::Value = serde_json::from_str(&output).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(shown["records"][0]["data"].as_str().unwrap()).unwrap();
    let sequence = "49545115243490985018280067714973144582180062593244200961";
    let expected = serde_json::json!({
        "component": "orders", "stream": "orders", "shardId": "shardId-000000000000",
        "eventId": format!("shardId-000000000000:{sequence}"), "sequenceNumber": sequence,
        "partitionKey": "partitionKey-03", "approximateArrivalTimestamp": "1428537600.000",
    });
    assert_eq!((metadata, code), (expected, Some(0)), "{error}");
    let line =
        r#"{"data":1,"shardId":"s-1","sequenceNumber":"12:3","partitionKey":"k","approximateArrivalTimestamp":0.0004}"#;
    let (output, _, _) = tried(&fields, &["--objects"], line);
    assert!(output.contains(r#""eventId":"s-1:12:3","sequenceNumber":"12:3","partitionKey":"k""#), "{output}");
    assert!(output.contains(r#""approximateArrivalTimestamp":"0.000""#), "{output}");
    for (field, value) in
        [("sequenceNumber", "\"x\""), ("approximateArrivalTimestamp", "-1"), ("approximateArrivalTimestamp", "1e300")]
    {
        let (output, _, code) = tried(&fields, &["--objects"], &format!("{{\"data\":1,\"{field}\":{value}}}"));
        assert!(output.starts_with(&format!("1: failed: `{field}` is not a")) && code == Some(1), "{output}");
    }
}

#[test]
fn lines_from_windows_and_no_lines_are_read_and_a_reader_may_stop() {
    let fields = [("direction", "output"), ("partitionKey", "all"), ("allowRawBody", "true")];
    let (output, error, code) = tried(&fields, &[], "");
    assert_eq!((output.as_str(), error.as_str(), code), ("", "", Some(0)));
    let (output, _, code) = tried(&fields, &[], "\u{feff}{\"a\":1}\r\n\r\n{\"a\":2}\r\n");
    let data: Vec<&str> = output.lines().filter_map(|line| line.split(' ').next_back()).collect();
    assert_eq!((data, code), (vec!["{\"a\":1}", "{\"a\":2}"], Some(0)));
    for (transform, expected) in [(".", 0), ("error", 1)] {
        let folder = folder(&[fields[0], fields[1], ("transform", transform)]);
        let mut child = start(folder.path(), &["--file", "orders.yaml"]);
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        writeln!(stdin, "1").unwrap();
        stdout.read_line(&mut String::new()).unwrap();
        drop(stdout);
        // It may have ended already.
        let _unread = writeln!(stdin, "2");
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(expected), ""), "{transform}");
    }
}
