//! §2.1 and §2.2: the order of a start, and the wait for the app.

use super::program::Program;
use super::{CREATE, environment, exchange, request};
use crate::environment::Sidecar;
use crate::fakes::RecordingApp;
use bindd::testing::until;

#[tokio::test]
async fn a_start_has_the_log_lines_of_daprd() {
    let env = environment().await;
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    let port = app.address().port().to_string();
    let mut program = Program::start(false, &["--app-port", &port], Some(env.folder()));
    let waiting = "2.2 application protocol: http. waiting on port ".to_owned()
        + &port
        + ".  This will block until the app is listening on that port.";
    let discovered = format!("2.2 application discovered on port {port}");
    let ready = "2.1 dapr initialized. Status: Running. Init Elapsed ";
    program.in_order(&["3.3 Component loaded: orders (bindings.aws.kinesis/v1)", &waiting, &discovered, ready]).await;
    program
        .in_order(&[
            "3.3 Component loaded: people (bindings.aws.dynamodb/v1)",
            "2.1 gRPC server listening on TCP address: ",
            "2.1 API gRPC server is running on port ",
            "2.1 HTTP server listening on TCP address: ",
            "2.1 HTTP server is running on port ",
            ready,
        ])
        .await;
    assert_eq!(program.stop().await, Some(0));
    let log = program.read();
    assert!(!log.contains("waiting for application to listen"), "2.2 the app listened already: {log}");
    assert!(!log.contains("App channel is not initialized"), "2.2 there is an app port: {log}");
}

#[tokio::test]
async fn a_component_that_cannot_be_connected_ends_the_start_before_an_api_is_served() {
    let env = environment().await;
    env.kinesis_component("broken", &[("streamName", "orders"), ("caBundle", "/no/such/bundle.pem")]);
    let mut program = Program::start(false, &[], Some(env.folder()));
    assert_eq!(program.exit_code().await, Some(1), "2.1 {}", program.read());
    program
        .in_order(&[
            "3.3 Failed to init component broken (bindings.aws.kinesis/v1): ",
            "3.3 Error processing component, daprd will exit gracefully: process component broken error: \
             [INIT_COMPONENT_FAILURE]: initialization error occurred for broken (bindings.aws.kinesis/v1): ",
            "3.3 Fatal error from runtime: failed to load components: ",
        ])
        .await;
    let log = program.read();
    assert!(!log.contains("server listening on"), "2.1 no API is served: {log}");
}

#[tokio::test]
async fn an_app_may_call_outputs_before_it_listens_and_no_input_starts_before() {
    let env = environment().await;
    env.input("orders-in", "orders", "shared");
    let mut app = RecordingApp::start().await;
    app.stop().await;
    let sidecar = env.sidecar(Some(&app)).await;
    let answer = exchange(sidecar.address(), &request("POST /v1.0/bindings/orders", "", CREATE)).await;
    assert_eq!(answer.status, 204, "2.1 outputs are served: {}", answer.body);
    let health = exchange(sidecar.address(), &request("GET /v1.0/healthz", "", "")).await;
    assert_eq!(health.json()["message"], "dapr is not ready: [app port]", "2.1 the app port is waited for");
    let tables = async || env.dynamodb.list_tables().send().await.unwrap().table_names.unwrap_or_default();
    assert_eq!(tables().await, ["people"], "2.1 the input has not even made its lease table");
    app.start_again().await;
    sidecar.until_ready().await;
    until("2.1 the input starts once the port is open", async || (tables().await.len() == 2).then_some(())).await;
    app.until_accepted(&[r#"{"id":"1"}"#.to_owned()]).await;
    sidecar.stop().await;
}

#[tokio::test]
async fn without_an_app_port_no_input_is_read_and_a_line_says_so() {
    let env = environment().await;
    env.input("orders-in", "orders", "shared");
    let mut program = Program::start(false, &[], Some(env.folder()));
    program.line("App channel is not initialized. Did you configure an app-port?").await;
    program.line("dapr initialized. Status: Running. Init Elapsed ").await;
    assert_eq!(program.invoke("orders", CREATE).await.status, 204, "2.2 outputs are served");
    assert_eq!(program.stop().await, Some(0));
    let tables = env.dynamodb.list_tables().send().await.unwrap().table_names.unwrap_or_default();
    assert_eq!(tables, ["people"], "2.2 the input was never started");
}

#[tokio::test]
async fn the_app_is_asked_for_its_configuration_only() {
    let env = environment().await;
    env.input("orders-in", "orders", "shared");
    let (none, skipping): (&[&str], &[&str]) = (&[], &["--disable-init-endpoints", "config"]);
    for (flags, asked) in [(none, 1), (skipping, 0)] {
        let app = RecordingApp::start().await;
        app.answer_gets(500);
        let port = app.address().port().to_string();
        let mut program = Program::start(false, &[&["--app-port", &port], flags].concat(), Some(env.folder()));
        program.line("dapr initialized. Status: Running.").await;
        env.put("orders", "order-", 1).await;
        app.until("2.2 an event although the configuration failed", |events| !events.is_empty()).await;
        assert_eq!(program.stop().await, Some(0));
        let gets = app.gets();
        assert_eq!(gets.len(), asked, "2.2 no /dapr/subscribe without pubsub: {gets:?}");
        if let Some((path, headers)) = gets.first() {
            assert_eq!((path.as_str(), &headers["dapr-app-id"]), ("dapr/config", &"shop".parse().unwrap()), "2.2");
        }
        let skipped = "Skipping programmatic dapr configuration loading";
        assert_eq!(program.read().contains(skipped), asked == 0, "2.2 {}", program.read());
    }
}

#[tokio::test]
async fn only_one_side_is_created_if_the_direction_excludes_the_other() {
    let env = environment().await;
    for (name, direction) in [("input-only", " INPUT "), ("both", "input, output"), ("absent", "")] {
        let fields = [("streamName", "orders"), ("consumerName", name)];
        let direction = Some(("Direction", direction)).filter(|(_, direction)| !direction.is_empty());
        env.kinesis_component(name, &fields.into_iter().chain(direction).collect::<Vec<_>>());
    }
    let app = RecordingApp::start().await;
    let sidecar = Sidecar::start(&env.settings(Some(&app))).await.unwrap();
    let page = exchange(sidecar.address(), &request("GET /v1.0/metadata", "", "")).await.json();
    let sides = |name: &str| {
        let components = page["components"].as_array().unwrap();
        let found = components.iter().find(|component| component["name"] == name).unwrap();
        found["capabilities"].as_array().unwrap().iter().map(|side| side.as_str().unwrap()).collect::<Vec<_>>()
    };
    let both = vec!["INPUT_BINDING", "OUTPUT_BINDING"];
    for (says, name, expected) in [
        ("2.4 input only, trimmed and in any case", "input-only", vec!["INPUT_BINDING"]),
        ("2.4 output only", "orders", vec!["OUTPUT_BINDING"]),
        ("2.4 a list", "both", both.clone()),
        ("2.4 absent", "absent", both),
    ] {
        assert_eq!(sides(name), expected, "{says}");
    }
    let unknown = exchange(sidecar.address(), &request("POST /v1.0/bindings/input-only", "", CREATE)).await;
    assert!(
        unknown.body.contains("couldn't find output binding input-only"),
        "1.5 an input-only binding: {}",
        unknown.body
    );
    sidecar.stop().await;
}

/// Each hundredth attempt to connect, which is each ten seconds.
#[tokio::test]
async fn a_line_says_that_the_app_is_still_waited_for() {
    let mut app = RecordingApp::start().await;
    app.stop().await;
    let port = app.address().port().to_string();
    let mut program = Program::start(false, &["--app-port", &port], None);
    program.line(&format!("waiting for application to listen on port {port}")).await;
    assert!(!program.read().contains("dapr initialized"), "2.1 not ready before: {}", program.read());
    app.start_again().await;
    program.line(&format!("application discovered on port {port}")).await;
    program.line("dapr initialized. Status: Running.").await;
    assert_eq!(program.stop().await, Some(0));
}
