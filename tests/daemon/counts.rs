//! Dapr's metrics of what happens over gRPC, of policies, health checks, errors and components that come and go.

use crate::calls;
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use crate::grpc;
use bindd::settings::{AppHealthSettings, Settings};
use bindd::testing::until;
use std::fs;
use std::time::Duration;

const INVOKE: &str = "/dapr.proto.runtime.v1.Dapr/InvokeBinding";

/// Starts with a page of metrics.
async fn start(mut settings: Settings) -> Sidecar {
    settings.metrics_address = Some(([127, 0, 0, 1], 0).into());
    Sidecar::start(&settings).await.unwrap()
}

async fn page(sidecar: &Sidecar) -> String {
    calls::get(sidecar.metrics_address().unwrap(), "/metrics").await.text().to_owned()
}

/// Waits until each of these lines is on the page.
async fn until_counted(sidecar: &Sidecar, lines: &[&str]) {
    for line in lines {
        until(line, async || page(sidecar).await.lines().any(|counted| counted == *line).then_some(())).await;
    }
}

async fn with_output() -> Environment {
    let env = Environment::start().await;
    env.stream("orders", 1).await;
    env.kinesis_component("orders-out", &[("streamName", "orders"), ("direction", "output")]);
    env
}

#[tokio::test]
async fn calls_over_grpc_are_counted_as_those_over_http() {
    let env = with_output().await;
    env.file("config.yml.txt", "kind: Configuration\nspec: {metrics: {recordErrorCodes: true}}\n");
    let mut settings = env.settings(None);
    settings.config_paths = vec![env.folder().join("config.yml.txt")];
    let sidecar = start(settings).await;
    let mut client = grpc::client(&sidecar).await;
    client.invoke_binding(grpc::request("orders-out", "create", b"x", &[])).await.unwrap();
    for name in ["orders-out", "none"] {
        client.invoke_binding(grpc::request(name, "get", b"x", &[])).await.unwrap_err();
    }
    assert_eq!(sidecar.invoke("none", r#"{"operation": "create"}"#).await.status, 404);
    assert_eq!(calls::post(sidecar.address(), "/v1.0/state/x", "").await.status, 404);
    let method = format!(r#"app_id="shop",grpc_server_method="{INVOKE}""#);
    let binding = |component: &str, operation: &str, is_success: bool| {
        format!(
            r#"dapr_component_output_binding_count{{app_id="shop",component="{component}",namespace="",operation="{operation}",success="{is_success}"}}"#
        )
    };
    let code = |code: &str, category: &str| {
        format!(r#"dapr_error_code_total{{app_id="shop",error_code="{code}",category="{category}"}}"#)
    };
    until_counted(
        &sidecar,
        &[
            &format!(r#"dapr_grpc_io_server_completed_rpcs{{{method},grpc_server_status="OK"}} 1"#),
            &format!(r#"dapr_grpc_io_server_completed_rpcs{{{method},grpc_server_status="NotFound"}} 1"#),
            &format!(r#"dapr_grpc_io_server_completed_rpcs{{{method},grpc_server_status="InvalidArgument"}} 1"#),
            &format!("dapr_grpc_io_server_received_bytes_per_rpc_count{{{method}}} 3"),
            &format!("{} 1", binding("orders-out", "create", true)),
            &format!("{} 1", binding("orders-out", "unknown", false)),
            &format!("{} 2", binding("unknown", "unknown", false)),
            &format!("{} 3", code("ERR_INVOKE_OUTPUT_BINDING", "binding")),
            &format!("{} 1", code("ERR_DIRECT_INVOKE", "service-invocation")),
        ],
    )
    .await;
    assert!(!page(&sidecar).await.contains("received_bytes_per_rpc_sum{app_id=\"shop\",grpc_server_method=\"\"}"));
    sidecar.stop().await;
}

#[tokio::test]
async fn calls_and_health_checks_of_an_app_over_grpc_are_counted() {
    let env = grpc::app::start_with_input().await;
    let texts = env.put("orders", "record ", 2).await;
    let app = grpc::app::App::default();
    let (address, _server) = app.start().await;
    let sidecar = start(with_checks(grpc::app::settings(&env, address))).await;
    app.until_accepted(&texts).await;
    let method = r#"app_id="shop",grpc_client_method="/dapr.proto.runtime.v1.AppCallback/OnBindingEvent""#;
    until_counted(
        &sidecar,
        &[
            &format!(r#"dapr_grpc_io_client_completed_rpcs{{{method},grpc_client_status="OK"}} 2"#),
            &format!("dapr_grpc_io_client_sent_bytes_per_rpc_count{{{method}}} 2"),
        ],
    )
    .await;
    let probes = r#"dapr_grpc_io_healthprobes_completed_count{app_id="shop",grpc_client_status="OK"}"#;
    assert!(page(&sidecar).await.contains(probes));
    sidecar.stop().await;
}

fn with_checks(mut settings: Settings) -> Settings {
    settings.app_health = Some(AppHealthSettings {
        path: "/health".to_owned(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(60),
        threshold: 1,
    });
    settings
}

#[tokio::test]
async fn health_checks_over_http_are_no_requests_with_events() {
    let env = Environment::start().await;
    let app = RecordingApp::start().await;
    app.answer_gets(503);
    let sidecar = start(with_checks(env.settings(Some(&app)))).await;
    app.until_more_gets(2).await;
    let counted =
        |status: &str| format!(r#"dapr_http_healthprobes_completed_count{{app_id="shop",status="{status}"}} "#);
    assert!(page(&sidecar).await.contains(&counted("503")), "{}", page(&sidecar).await);
    app.answer_gets(200);
    until("a success", async || page(&sidecar).await.contains(&counted("200")).then_some(())).await;
    assert!(
        !page(&sidecar)
            .await
            .contains(r#"dapr_http_client_completed_count{app_id="shop",method="GET",path="",status="503"}"#)
    );
    sidecar.stop().await;
}

#[tokio::test]
async fn what_policies_do_is_counted() {
    let env = with_output().await;
    let policies = "{timeouts: {DefaultTimeoutPolicy: 60s}, circuitBreakers: {DefaultCircuitBreakerPolicy: {}}}";
    let document = format!("kind: Resiliency\nmetadata: {{name: rules}}\nspec: {{policies: {policies}}}\n");
    env.file("rules.yaml", &format!("apiVersion: dapr.io/v1alpha1\n{document}"));
    let sidecar = start(env.settings(None)).await;
    for _ in 0..2 {
        assert_eq!(sidecar.invoke("orders-out", r#"{"operation": "create", "data": 1}"#).await.status, 204);
    }
    let page = page(&sidecar).await;
    let labels = |policy: &str, status: &str| {
        format!(
            r#"{{app_id="shop",name="rules",policy="{policy}",namespace="",flow_direction="outbound",target="Binding_orders-out",status="{status}"}}"#
        )
    };
    for line in [
        r#"dapr_resiliency_loaded{app_id="shop",name="rules",namespace=""} 1"#.to_owned(),
        format!("dapr_resiliency_count{} 2", labels("timeout", "")),
        format!("dapr_resiliency_count{} 2", labels("circuitbreaker", "closed")),
        format!("dapr_resiliency_cb_state{} 1", labels("circuitbreaker", "closed")),
        format!("dapr_resiliency_cb_state{} 0", labels("circuitbreaker", "open")),
    ] {
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_component_that_is_removed_leaves_the_page_and_counts_from_zero_when_it_returns() {
    let env = with_output().await;
    let mut settings = env.settings(None);
    settings.reload.watch = None;
    let sidecar = start(settings).await;
    let file = env.folder().join("orders-out.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let counted = r#"bindd_output_requests_total{component="orders-out",operation="create",status="204"} 1"#;
    for _ in 0..2 {
        until("a success", async || {
            let response = sidecar.invoke("orders-out", r#"{"operation": "create", "data": 1}"#).await;
            (response.status == 204).then_some(())
        })
        .await;
        assert!(page(&sidecar).await.contains(counted), "{}", page(&sidecar).await);
        fs::remove_file(&file).unwrap();
        until("the series to be gone", async || (!page(&sidecar).await.contains("\"orders-out\"")).then_some(())).await;
        fs::write(&file, &text).unwrap();
    }
    sidecar.stop().await;
}
