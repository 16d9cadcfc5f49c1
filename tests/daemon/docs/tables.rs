//! The tables of fields, flags and metrics name exactly what the code knows.

use super::page::{first_column, page, pages, root, rows};
use super::yaml::{Variables, mail};
use bindd::bindings::{cron, dynamodb, http, kinesis, localstorage, pluggable};
use bindd::manifest::{LoadRequest, Reader, load};
use bindd::settings;
use bindd::telemetry::{
    DaprMetrics, GrpcExchange, HttpExchange, InitFailure, Metrics, MetricsFormat, MetricsRules, MetricsSettings,
    PolicyTarget, ShapedSide, ShapingResult,
};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

type Names = BTreeSet<String>;

fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> Names {
    names.into_iter().map(str::to_owned).collect()
}

fn assert_same(what: &str, documented: &Names, known: &Names) {
    let missing: Vec<_> = known.difference(documented).collect();
    let stale: Vec<_> = documented.difference(known).collect();
    assert!(missing.is_empty() && stale.is_empty(), "{what}: not documented {missing:?}, not known {stale:?}");
}

/// The fields that a kind reads from its component files.
fn fields_read(kind: &str, read: impl FnOnce(&mut Reader<'_>)) -> Names {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: x\nspec:\n  type: {kind}\n  version: v1\n  \
         metadata: []\n"
    );
    std::fs::write(folder.path().join("x.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    let loaded = load(&LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment: &Variables });
    let mut reader = Reader::new(loaded.documents.first().unwrap());
    read(&mut reader);
    names(reader.names_read().iter().copied())
}

#[test]
fn the_tables_of_fields_name_what_the_specs_read() {
    let documented = |path: &str| names(first_column(&page(path).text, "Field"));
    let kinesis = fields_read("bindings.aws.kinesis", |reader| drop(kinesis::Spec::read(reader)));
    let dynamodb = fields_read("bindings.aws.dynamodb", |reader| drop(dynamodb::Spec::read(reader)));
    let shared = documented("docs/configuration/credentials.md");
    for (path, known) in [("docs/configuration/kinesis.md", kinesis), ("docs/configuration/dynamodb.md", dynamodb)] {
        let documented: Names = documented(path).union(&shared).cloned().collect();
        assert_same(path, &documented, &known);
    }
    let cron = fields_read("bindings.cron", |reader| drop(cron::Spec::read(reader)));
    let http = fields_read("bindings.http", |reader| drop(http::Spec::read(reader)));
    let storage = fields_read("bindings.localstorage", |reader| drop(localstorage::Spec::read(reader)));
    // The type of the file makes no difference to what is read.
    let plugged = fields_read("bindings.cron", |reader| drop(pluggable::Spec::read(reader, &mail().into())));
    for (name, known) in [("cron", cron), ("http", http), ("localstorage", storage), ("pluggable", plugged)] {
        let path = format!("docs/configuration/{name}.md");
        assert_same(&path, &documented(&path), &known);
    }
}

#[test]
fn the_fields_of_redpanda_connect_have_a_hint_and_those_of_bindd_beside_them_exist() {
    const TITLE: &str = "Redpanda Connect";
    let page = page("docs/configuration/from-redpanda-connect.md");
    let known = fields_read("bindings.aws.kinesis", |reader| drop(kinesis::Spec::read(reader)));
    let (theirs, ours) = (rows(&page.text, TITLE, 0), rows(&page.text, TITLE, 1));
    assert!(theirs.len() > 20 && theirs.len() == ours.len(), "{theirs:?} {ours:?}");
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let unknown: Vec<_> = ours.iter().filter(|name| !known.contains(**name)).collect();
        assert!(!theirs.is_empty() && unknown.is_empty(), "beside {theirs:?}: bindd has no {unknown:?}");
    }
    let theirs: Vec<&str> = theirs.into_iter().flatten().collect();
    let folder = tempfile::tempdir().unwrap();
    let items: String = theirs.iter().map(|name| format!("    - name: {name}\n      value: x\n")).collect();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: x\nspec:\n  type: bindings.aws.kinesis\n  \
         version: v1\n  metadata:\n{items}"
    );
    std::fs::write(folder.path().join("x.yaml"), text).unwrap();
    let paths = [folder.path().to_owned()];
    let loaded = load(&LoadRequest { paths: &paths, app_id: Some("shop"), namespace: None, environment: &Variables });
    let (_, _, notices) = kinesis::Spec::check(loaded.documents.first().unwrap());
    let notices: Vec<String> = notices.iter().map(ToString::to_string).collect();
    for name in theirs.iter().filter(|name| !known.contains(**name)) {
        let hint = format!("unknown field `{name}`, a name of another tool");
        assert!(notices.iter().any(|notice| notice.contains(&hint)), "{hint} is not in {notices:#?}");
    }
}

#[test]
fn the_headers_of_raw_bodies_in_openapi_are_the_request_metadata_of_kinesis() {
    let document = std::fs::read_to_string(root().join("src/http/openapi.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let parameters = document["components"]["parameters"].as_object().unwrap().keys();
    let described = names(parameters.filter_map(|name| name.strip_prefix("metadata.")));
    let api = page("docs/http-api.md");
    assert_same("headers", &names(first_column(api.section("## Kinesis operations"), "Request metadata")), &described);
}

#[test]
fn every_field_of_an_input_is_in_an_example_that_is_checked() {
    // `yaml` loads every block of the page.
    let page = page("docs/configuration/kinesis.md");
    let headings = page.text.lines().filter(|line| *line == "## Input" || line.starts_with("## Input: "));
    let fields: Names = headings.flat_map(|heading| names(first_column(page.section(heading), "Field"))).collect();
    assert!(fields.len() > 30, "{fields:?}");
    let blocks = page.blocks();
    let lines = blocks.iter().filter(|block| block.language == "yaml").flat_map(|block| block.text.lines());
    let used: Names = names(lines.filter_map(|line| line.trim().strip_prefix("- name: ")?.split(' ').next()));
    let missing: Vec<_> = fields.difference(&used).collect();
    assert!(missing.is_empty(), "in no example: {missing:?}");
}

/// The flags in the help text of a command.
fn flags_of(command: &str) -> Names {
    let args = ["bindd"].into_iter().chain(command.split_whitespace()).chain(["--help"]).map(OsString::from);
    let help = settings::parse(args).unwrap_err().text;
    let options = help.lines().filter(|line| line.starts_with("      --") || line.starts_with("  -"));
    let flags = options.filter_map(|line| line.split(&[' ', '=', '[', ',']).find(|word| word.starts_with("--")));
    names(flags)
}

#[test]
fn the_tables_of_flags_name_what_the_parser_takes() {
    let commands = page("docs/command-line.md");
    let documented = |heading: &str| names(first_column(commands.section(heading), "Flag"));
    let ignored = names(first_column(&page("docs/dapr-compatibility.md").text, "Ignored flag"));
    assert!(ignored.len() > 8, "{ignored:?}");
    let run: Names = documented("## `bindd`").union(&ignored).cloned().collect();
    assert_same("bindd", &run, &flags_of(""));
    let general = names(["--help"]);
    for command in ["demo", "dev", "check", "policy"] {
        let mut known: Names = flags_of(command).difference(&general).cloned().collect();
        if command == "dev" {
            known = known.difference(&run).cloned().collect();
        }
        assert_same(command, &documented(&format!("## `bindd {command}`")), &known);
    }
    let of_each = names(first_column(commands.section("### Which lease table"), "Flag of each command"));
    for command in ["leases list", "leases seek", "leases release", "leases export", "leases import"] {
        let known: Names = flags_of(command).difference(&general).cloned().collect();
        let own = documented(&format!("### `bindd {command}`"));
        assert_same(command, &own.union(&of_each).cloned().collect(), &known);
    }
}

/// Gives each of Dapr's metrics a sample.
fn count_as_daprd(dapr: &DaprMetrics) {
    let took = Duration::ZERO;
    dapr.output_binding("orders").invoked("create", true, took);
    dapr.input_binding("orders").handled(1, true, took);
    dapr.component_loaded();
    dapr.component_initialized("bindings.aws.kinesis");
    dapr.component_failed("bindings.aws.kinesis", "orders", InitFailure::Init);
    dapr.error_code("ERR_INVOKE_OUTPUT_BINDING", "bindings");
    let exchange =
        HttpExchange { method: "POST", path: "/", status: Some(204), request_bytes: 0, response_bytes: 0, took };
    dapr.http().served(&exchange);
    dapr.http().called(&exchange);
    dapr.http().probed(Some(200), took);
    let exchange = GrpcExchange { method: "/m", code: 0, request_bytes: 0, response_bytes: 0, took };
    dapr.grpc().served(&exchange);
    dapr.grpc().called(&exchange);
    dapr.grpc().probed(0, took);
    let target =
        PolicyTarget { resource: "r", namespace: "", policy: "circuitbreaker", flow_direction: "inbound", target: "t" };
    let policy = dapr.resiliency().policy(target);
    dapr.resiliency().loaded("r", "");
    policy.executed("closed");
    policy.activated("open");
}

#[test]
fn the_table_of_metrics_names_what_is_exported() {
    let rules = MetricsRules { increased_cardinality: true, record_error_codes: true, ..MetricsRules::default() };
    let metrics = Metrics::with(&MetricsSettings { rules, ..MetricsSettings::default() });
    // A family without a sample is left out of the page, so each gets one.
    metrics.requests("orders").answered("create", 204, Duration::ZERO);
    metrics.credentials("orders").loaded(Some(Duration::ZERO));
    metrics.input("orders").fetched(1, 10);
    metrics.reads("orders").throttled();
    metrics.shaping("orders", ShapedSide::Output).count(ShapingResult::Filtered);
    metrics.output("orders").throttled("unknown");
    metrics.output("orders").set_limiter_factor("unknown", 1.0);
    metrics.output("orders").called("PutRecord", "ok", Duration::ZERO);
    metrics.output("orders").flush_expression_failed();
    count_as_daprd(metrics.dapr());
    let exported = metrics.page_in(MetricsFormat::Text).unwrap();
    let known = names(exported.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()));
    let registered = format!("{metrics:?}").matches("Descriptor {").count();
    // Those of the process have no descriptor.
    let of_process = known.iter().filter(|name| name.starts_with("process_")).count();
    assert_eq!(known.len() - of_process, registered, "a family has no sample in this test:\n{exported}");
    assert_same("metrics", &names(first_column(&page("docs/operations.md").text, "Metric")), &known);
    // Alerts and prose name only metrics that exist.
    for page in pages() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mentioned = page
            .text
            .split(|c| !is_part(c))
            .filter(|word| ["bindd_", "dapr_component_", "dapr_http_"].iter().any(|prefix| word.starts_with(prefix)));
        for metric in mentioned {
            assert!(known.contains(metric), "{} names {metric}", page.path.display());
        }
    }
}

#[test]
fn the_table_of_modules_names_those_of_the_library() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert_same("modules", &names(first_column(&page("docs/architecture.md").text, "Module")), &names(declared));
}
