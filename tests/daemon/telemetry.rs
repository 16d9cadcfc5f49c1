//! Logs, metrics and traces of the `bindd` binary.

use crate::calls::{get, post, send};
use bindd::testing::{until, within};
use http::Request;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tonic::Status;

/// A sidecar without components in a separate process.
struct Program {
    child: Child,
    folder: TempDir,
}

impl Program {
    fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bindd"))
            .args(["--app-id", "shop", "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--metrics-port", "0"])
            .args(args)
            .envs(variables.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    /// The addresses of the API and of the metrics, from the line about them in this file.
    async fn addresses(&self, file: &str) -> (SocketAddr, SocketAddr) {
        let line = until("the sidecar to serve", async || {
            self.read(file).lines().find(|line| line.contains("bindd is serving")).map(str::to_owned)
        })
        .await;
        let places = line.match_indices("127.0.0.1:").map(|(at, _)| {
            let rest = &line[at..];
            rest[..rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap()].parse().unwrap()
        });
        let all: Vec<SocketAddr> = places.collect();
        (all[0], all[1])
    }

    async fn line(&self, file: &str, text: &str) -> String {
        until(text, async || self.read(file).lines().find(|line| line.contains(text)).map(str::to_owned)).await
    }
}

#[tokio::test]
async fn json_lines_have_the_fields_of_daprd() {
    let program = Program::start(&["--log-as-json", "--enable-api-logging"], &[]);
    let (api, _) = program.addresses("stderr").await;
    let request = Request::post("/v1.0/bindings/none").header("user-agent", "test/1");
    assert_eq!(send(api, request, r#"{"operation":"create"}"#).await.status, 404);
    let line = program.line("stderr", "HTTP API Called").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    for (key, value) in [
        ("level", "info"),
        ("msg", "HTTP API Called"),
        ("scope", "dapr.runtime.http-info"),
        ("type", "log"),
        ("app_id", "shop"),
        ("ver", env!("CARGO_PKG_VERSION")),
        ("method", "POST /v1.0/bindings/none"),
        ("useragent", "test/1"),
    ] {
        assert_eq!(line[key], value, "{key} of {line}");
    }
    assert_eq!(line["code"], 404);
    assert!(line["size"].as_u64().unwrap() > 10 && line["duration"].is_u64() && line["time"].is_string(), "{line}");
    assert_eq!(program.read("stdout"), "");
}

#[tokio::test]
async fn compatible_lines_are_text_on_standard_output() {
    let program = Program::start(&["--dapr-compat"], &[]);
    let line = program.line("stdout", "bindd is serving").await;
    assert!(
        line.starts_with("time=\"") && line.contains(" level=info msg=\"bindd is serving\" app_id=shop "),
        "{line}"
    );
    assert!(line.contains(" scope=dapr.runtime type=log ver="), "{line}");
    assert_eq!(program.read("stderr"), "");
}

#[tokio::test]
async fn a_log_file_gets_the_lines_instead_of_the_terminal() {
    let program = Program::start(&["--log-file", "logs/bindd.log"], &[]);
    program.line("logs/bindd.log", "bindd is serving").await;
    assert_eq!((program.read("stdout"), program.read("stderr")), (String::new(), String::new()));
    let mut wrong = Program::start(&["--log-file", "stdout/no-folder"], &[]);
    let status = within("the exit", wrong.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(wrong.read("stderr").contains("correct --log-file"), "{}", wrong.read("stderr"));
}

/// Each sample by its name with its labels; checks that each belongs to a declared metric.
fn samples(page: &str, is_open_metrics: bool) -> HashMap<String, f64> {
    let mut types = HashMap::new();
    let mut samples = HashMap::new();
    assert_eq!(page.ends_with("# EOF\n"), is_open_metrics);
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ').unwrap();
            let (name, text) = rest.split_once(' ').unwrap();
            assert!(["HELP", "TYPE"].contains(&kind) || (kind == "UNIT" && is_open_metrics), "{line}");
            if kind == "TYPE" {
                assert!(types.insert(name, text).is_none(), "{name} is declared twice");
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let base = name.split('{').next().unwrap();
        let is_declared = ["", "_total", "_bucket", "_sum", "_count"].iter().any(|suffix| {
            base.strip_suffix(suffix).and_then(|metric| types.get(metric)).is_some_and(|kind| match (*suffix, *kind) {
                ("", "gauge") => true,
                ("", "unknown") | ("_total", "counter") => is_open_metrics,
                ("", "counter") => !is_open_metrics,
                ("_bucket" | "_sum" | "_count", kind) => kind == "histogram",
                _ => false,
            })
        });
        assert!(is_declared, "{line}");
        assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} is there twice");
    }
    samples
}

#[tokio::test]
async fn the_page_is_served_at_any_path_in_both_formats() {
    let program = Program::start(&[], &[("NAMESPACE", "prod")]);
    let (api, metrics) = program.addresses("stderr").await;
    assert_eq!(post(api, "/v1.0/bindings/none", r#"{"operation":"create"}"#).await.status, 404);
    let text = get(metrics, "/any/path?and=query").await;
    assert!(text.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let open = send(metrics, Request::get("/metrics").header("accept", "application/openmetrics-text"), "").await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for (page, is_open_metrics) in [(text.text(), false), (open.text(), true)] {
        let samples = samples(page, is_open_metrics);
        let served = r#"dapr_http_server_request_count{app_id="shop",method="POST",path="",status="404"}"#;
        assert_eq!(samples.get(served), Some(&1.0), "{page}");
        let called = r#"dapr_component_output_binding_count{app_id="shop",component="unknown",namespace="prod",operation="unknown",success="false"}"#;
        assert_eq!(samples.get(called), Some(&1.0), "{page}");
        assert_eq!(
            samples.get(r#"bindd_output_requests_total{component="unknown",operation="unknown",status="404"}"#),
            Some(&1.0)
        );
        if Path::new("/proc/self/status").exists() {
            assert!(samples["process_resident_memory_bytes"] > 1e6 && samples["process_open_fds"] > 3.0);
        }
    }
}

/// A collector, which passes on what it gets.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        assert_eq!(request.metadata().get("api-key").unwrap(), "k");
        self.0.send(request.into_inner()).unwrap();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn spans_reach_a_collector_over_grpc_before_the_process_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut received) = mpsc::unbounded_channel();
    let incoming = futures_util::stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    #[expect(clippy::disallowed_methods, reason = "a server of this test; aborted with it")]
    let serving = tokio::spawn(server.serve_with_incoming(incoming));
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")];
    let mut program = Program::start(&[], &variables);
    let (api, _) = program.addresses("stderr").await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::post("/v1.0/bindings/none").header("traceparent", parent);
    let answer = send(api, request, r#"{"operation":"create"}"#).await;
    let child = answer.header("traceparent").unwrap();
    assert!(child.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && child != parent, "{child}");
    assert_eq!(post(api, "/v1.0/shutdown", "").await.status, 204);
    let mut exported = within("the spans", received.recv()).await.unwrap();
    let status = within("the exit", program.child.wait()).await.unwrap();
    assert!(status.success(), "{}", program.read("stderr"));
    serving.abort();
    let mut resource = exported.resource_spans.remove(0);
    let mut spans = resource.scope_spans.remove(0);
    let span = spans.spans.remove(0);
    let text = |value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value.unwrap().value {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    let service = resource.resource.take().unwrap().attributes.remove(0);
    assert_eq!((service.key.as_str(), text(service.value)), ("service.name", "shop".to_owned()));
    assert_eq!((span.name.as_str(), span.kind, span.parent_span_id.len()), ("/v1.0/bindings/none", 3, 8));
    let id: String = span.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(child.contains(&id), "{child} {id}");
    assert!(
        span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 1_700_000_000_000_000_000
    );
    let attributes: HashMap<String, String> =
        span.attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect();
    for (key, value) in [
        ("db.system", "bindings"),
        ("db.name", "none"),
        ("db.statement", "POST /v1.0/bindings/none"),
        ("dapr.protocol", "http"),
        ("dapr.status_code", "404"),
    ] {
        assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(span.status.unwrap().code, 2);
}
