use super::super::{Metrics, MetricsFormat, MetricsSettings};
use super::*;
use std::time::Duration;

fn metrics(rules: MetricsRules) -> Metrics {
    Metrics::with(&MetricsSettings { app_id: "shop".to_owned(), namespace: "prod".to_owned(), rules })
}

fn assert_lines(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|found| found == *line), "{line} is not in\n{page}");
    }
}

const EXCHANGE: HttpExchange<'static> = HttpExchange {
    method: "POST",
    path: "/v1.0/bindings/orders",
    status: Some(204),
    request_bytes: 2_000,
    response_bytes: 0,
    took: Duration::from_millis(3),
};

#[test]
fn bindings_are_counted_as_daprd_counts_them() {
    let metrics = metrics(MetricsRules::default());
    let output = metrics.dapr().output_binding("orders");
    output.invoked("create", true, Duration::from_millis(4));
    output.invoked("create", true, Duration::from_millis(4));
    metrics.dapr().input_binding("orders-in").handled(3, false, Duration::from_millis(7));
    let page = metrics.page_in(MetricsFormat::Text).unwrap();
    let own = r#"component="orders",namespace="prod",operation="create",success="true""#;
    let labels = format!("app_id=\"shop\",{own}");
    assert_lines(
        &page,
        &[
            "# TYPE dapr_component_output_binding_count counter",
            &format!("dapr_component_output_binding_count{{{labels}}} 2"),
            "# TYPE dapr_component_output_binding_latencies histogram",
            &format!("dapr_component_output_binding_latencies_sum{{{labels}}} 8.0"),
            &format!("dapr_component_output_binding_latencies_bucket{{app_id=\"shop\",le=\"4.0\",{own}}} 2"),
            &format!("dapr_component_output_binding_latencies_bucket{{app_id=\"shop\",le=\"3.0\",{own}}} 0"),
            r#"dapr_component_input_binding_count{app_id="shop",component="orders-in",namespace="prod",success="false"} 3"#,
            r#"dapr_component_input_binding_latencies_count{app_id="shop",component="orders-in",namespace="prod",success="false"} 1"#,
        ],
    );
    assert!(metrics.page().unwrap().contains("# TYPE dapr_component_output_binding_count unknown\n"));
}

#[test]
fn series_of_a_component_end_with_it() {
    let metrics = metrics(MetricsRules::default());
    metrics.dapr().output_binding("orders").invoked("create", true, Duration::ZERO);
    metrics.dapr().output_binding("others").invoked("create", true, Duration::ZERO);
    metrics.output("orders").throttled("shardId-1");
    metrics.input("orders").fetched(1, 1);
    metrics.requests("orders").answered("create", 204, Duration::ZERO);
    assert!(metrics.page().unwrap().contains("\"orders\""));
    metrics.forget("orders");
    let page = metrics.page().unwrap();
    assert!(!page.contains("\"orders\"") && page.contains("\"others\""), "{page}");
}

#[test]
fn components_and_error_codes_are_counted() {
    for (records, lines) in [(false, 0), (true, 1)] {
        let metrics = metrics(MetricsRules { record_error_codes: records, ..MetricsRules::default() });
        let dapr = metrics.dapr();
        dapr.component_loaded();
        dapr.component_initialized("bindings.aws.kinesis");
        dapr.component_failed("bindings.aws.dynamodb", "rows", InitFailure::Init);
        dapr.error_code("ERR_INVOKE_OUTPUT_BINDING", "bindings");
        let page = metrics.page_in(MetricsFormat::Text).unwrap();
        assert_lines(
            &page,
            &[
                "# TYPE dapr_runtime_component_loaded counter",
                r#"dapr_runtime_component_loaded{app_id="shop"} 1"#,
                r#"dapr_runtime_component_init_total{app_id="shop",component="bindings.aws.kinesis"} 1"#,
                r#"dapr_runtime_component_init_fail_total{app_id="shop",component="bindings.aws.dynamodb",componentName="rows",reason="init"} 1"#,
            ],
        );
        assert_eq!(page.matches("\ndapr_error_code_total{").count(), lines, "{page}");
    }
}

#[test]
fn http_is_counted_without_paths_by_default() {
    let metrics = metrics(MetricsRules::default());
    metrics.dapr().http().served(&EXCHANGE);
    metrics.dapr().http().called(&HttpExchange { status: None, ..EXCHANGE });
    metrics.dapr().http().probed(Some(200), Duration::from_millis(1));
    let page = metrics.page_in(MetricsFormat::Text).unwrap();
    assert_lines(
        &page,
        &[
            r#"dapr_http_server_request_count{app_id="shop",method="POST",path="",status="204"} 1"#,
            r#"dapr_http_server_latency_count{app_id="shop",method="POST",path="",status="204"} 1"#,
            r#"dapr_http_server_request_bytes_bucket{app_id="shop",le="2048.0"} 1"#,
            r#"dapr_http_server_response_bytes_sum{app_id="shop"} 0.0"#,
            r#"dapr_http_client_completed_count{app_id="shop",method="POST",path="",status=""} 1"#,
            r#"dapr_http_client_sent_bytes_sum{app_id="shop",method="POST",path=""} 2000.0"#,
            r#"dapr_http_healthprobes_completed_count{app_id="shop",status="200"} 1"#,
        ],
    );
    assert!(!page.contains("dapr_http_server_response_count"), "{page}");
}

#[test]
fn paths_are_bounded() {
    let metrics = metrics(MetricsRules { increased_cardinality: true, ..MetricsRules::default() });
    for number in 0..2_000 {
        let path = format!("/{number}");
        metrics.dapr().http().served(&HttpExchange { path: &path, ..EXCHANGE });
    }
    let page = metrics.page_in(MetricsFormat::Text).unwrap();
    assert_eq!(page.matches("\ndapr_http_server_request_count{").count(), 1_001);
    let rest = r#"dapr_http_server_request_count{app_id="shop",method="POST",path="",status="204"} 1000"#;
    assert_lines(
        &page,
        &[rest, r#"dapr_http_server_response_count{app_id="shop",method="POST",path="/1",status="204"} 1"#],
    );
}

#[test]
fn buckets_of_latencies_are_as_configured() {
    let metrics = metrics(MetricsRules { latency_buckets: vec![50.0, 5.0, 50.0], ..MetricsRules::default() });
    metrics.dapr().http().served(&EXCHANGE);
    let page = metrics.page_in(MetricsFormat::Text).unwrap();
    let bounds: Vec<&str> = page
        .lines()
        .filter_map(|line| {
            line.strip_prefix("dapr_http_server_latency_bucket{app_id=\"shop\",le=\"")?.split('"').next()
        })
        .collect();
    assert_eq!(bounds, ["5.0", "50.0", "+Inf"]);
}

#[test]
fn grpc_and_policies_are_counted() {
    let metrics = metrics(MetricsRules::default());
    let method = "/dapr.proto.runtime.v1.Dapr/InvokeBinding";
    let took = Duration::from_millis(2);
    let exchange = GrpcExchange { method, code: 0, request_bytes: 10, response_bytes: 20, took };
    metrics.dapr().grpc().served(&exchange);
    metrics.dapr().grpc().called(&exchange);
    metrics.dapr().grpc().probed(0, took);
    let resiliency = metrics.dapr().resiliency();
    resiliency.loaded("rules", "prod");
    let target = PolicyTarget {
        resource: "rules",
        namespace: "prod",
        policy: "circuitbreaker",
        flow_direction: "outbound",
        target: "bindings_orders",
    };
    let policy = resiliency.policy(target);
    policy.executed("closed");
    policy.activated("open");
    policy.set_breaker_state("open");
    let page = metrics.page_in(MetricsFormat::Text).unwrap();
    let labels = r#"app_id="shop",name="rules",policy="circuitbreaker",namespace="prod",flow_direction="outbound",target="bindings_orders""#;
    assert_lines(
        &page,
        &[
            &format!(
                r#"dapr_grpc_io_server_completed_rpcs{{app_id="shop",grpc_server_method="{method}",grpc_server_status="OK"}} 1"#
            ),
            &format!(
                r#"dapr_grpc_io_server_received_bytes_per_rpc_sum{{app_id="shop",grpc_server_method="{method}"}} 10.0"#
            ),
            &format!(
                r#"dapr_grpc_io_client_sent_bytes_per_rpc_sum{{app_id="shop",grpc_client_method="{method}"}} 10.0"#
            ),
            r#"dapr_grpc_io_healthprobes_completed_count{app_id="shop",grpc_client_status="OK"} 1"#,
            r#"dapr_resiliency_loaded{app_id="shop",name="rules",namespace="prod"} 1"#,
            &format!(r#"dapr_resiliency_count{{{labels},status="closed"}} 1"#),
            &format!(r#"dapr_resiliency_activations_total{{{labels},status="open"}} 1"#),
            &format!(r#"dapr_resiliency_cb_state{{{labels},status="open"}} 1"#),
            &format!(r#"dapr_resiliency_cb_state{{{labels},status="closed"}} 0"#),
        ],
    );
}
