//! §3.3: components at their start.

use super::program::Program;
use super::{CREATE, environment, exchange, request};
use crate::calls::get;
use crate::environment::Sidecar;
use bindd::testing::until;
use std::fs;

#[tokio::test]
async fn each_side_and_each_component_has_its_line() {
    let env = environment().await;
    env.kinesis_component("both", &[("streamName", "orders")]);
    let mut program = Program::start(false, &[], Some(env.folder()));
    program.line("dapr initialized. Status: Running.").await;
    for line in [
        "successful init for output binding (orders (bindings.aws.kinesis/v1))",
        "successful init for output binding (people (bindings.aws.dynamodb/v1))",
        "successful init for input binding (both (bindings.aws.kinesis/v1))",
        "successful init for output binding (both (bindings.aws.kinesis/v1))",
        "Component loaded: orders (bindings.aws.kinesis/v1)",
        "Component loaded: people (bindings.aws.dynamodb/v1)",
        "Component loaded: both (bindings.aws.kinesis/v1)",
    ] {
        assert_eq!(program.read().matches(line).count(), 1, "3.3 {line}: {}", program.read());
    }
    let absent = "successful init for input binding (orders (bindings.aws.kinesis/v1))";
    assert!(!program.read().contains(absent), "3.3 its direction is output: {}", program.read());
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test]
async fn a_component_whose_errors_are_ignored_is_left_out_and_the_start_goes_on() {
    let env = environment().await;
    env.kinesis_component("broken", &[("streamName", "orders"), ("caBundle", "/no/such/bundle.pem")]);
    let file = env.folder().join("broken.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("spec:\n", "spec:\n  ignoreErrors: true\n")).unwrap();
    let mut program = Program::start(false, &[], Some(env.folder()));
    program
        .in_order(&[
            "3.3 Failed to init component broken (bindings.aws.kinesis/v1): ",
            "3.3 Ignoring error processing component: process component broken error: [INIT_COMPONENT_FAILURE]: \
             initialization error occurred for broken (bindings.aws.kinesis/v1): ",
            "2.1 dapr initialized. Status: Running.",
        ])
        .await;
    let missing = program.invoke("broken", CREATE).await;
    assert!(missing.text().contains("couldn't find output binding broken"), "3.3 {}", missing.text());
    assert_eq!(program.invoke("orders", CREATE).await.status, 204, "3.3 the others are served");
    assert_eq!(program.stop().await, Some(0));

    let mut settings = env.settings(None);
    settings.metrics_address = Some("127.0.0.1:0".parse().unwrap());
    let sidecar = Sidecar::start(&settings).await.unwrap();
    let lines = [
        r#"dapr_runtime_component_loaded{app_id="shop"} 2"#,
        r#"dapr_runtime_component_init_total{app_id="shop",component="bindings.aws.kinesis"} 1"#,
        r#"dapr_runtime_component_init_total{app_id="shop",component="bindings.aws.dynamodb"} 1"#,
        r#"dapr_runtime_component_init_fail_total{app_id="shop",component="bindings.aws.kinesis",componentName="broken",reason="init"} 1"#,
    ];
    until("3.3 the metrics of the start", async || {
        let page = get(sidecar.metrics_address().unwrap(), "/metrics").await;
        lines.iter().all(|line| page.text().contains(line)).then_some(())
    })
    .await;
    sidecar.stop().await;
}

#[tokio::test]
async fn secret_stores_come_first_wherever_they_stand() {
    let env = environment().await;
    let secrets = env.folder().join("secrets.txt");
    fs::write(&secrets, r#"{"aws": {"names": ["", "orders"]}, "flat:name": "orders"}"#).unwrap();
    let store = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: vault}}\nspec:\n  type: \
         secretstores.local.file\n  version: v1\n  metadata: [{{name: secretsFile, value: {:?}}}]\n",
        secrets.display().to_string()
    );
    env.file("zz-last.yaml", &store);
    let text = fs::read_to_string(env.folder().join("orders.yaml")).unwrap();
    for (name, reference) in [
        ("3.5 a path of the flattened tree", "{name: \"aws:names:1\", key: \"aws:names:1\"}"),
        ("3.5 the key is the name if it is left out", "{name: \"aws:names:1\"}"),
        ("3.5 a name with the separator", "{name: \"flat:name\"}"),
    ] {
        let referring = text.replace("      value: \"orders\"\n", &format!("      secretKeyRef: {reference}\n"));
        assert_ne!(referring, text);
        env.file("orders.yaml", &format!("{referring}auth: {{secretStore: vault}}\n"));
        let sidecar = env.sidecar(None).await;
        let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", CREATE)).await;
        assert_eq!(answer.status, 204, "3.3, {name}: {}", answer.body);
        sidecar.stop().await;
    }
}
