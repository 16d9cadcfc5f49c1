//! §2.10 and §4.3: stops, their log lines and exit codes.

use super::program::Program;
use super::{CREATE, environment};
use crate::calls::{Response, send};
use crate::environment::Environment;
use crate::fakes::{Behaviour, RecordingApp};
use http::Request;

const READY: &str = "dapr initialized. Status: Running.";

/// A program with an output and an input whose app holds a record.
async fn holding(flags: &[&str]) -> (Environment, RecordingApp, Program) {
    let env = environment().await;
    env.input("orders-in", "orders", "shared");
    let app = RecordingApp::start().await;
    app.behave(Behaviour::Hold);
    let port = app.address().port().to_string();
    let program = Program::start(false, &[&["--app-port", &port], flags].concat(), Some(env.folder()));
    env.put("orders", "order-", 1).await;
    app.until("the record", |events| !events.is_empty()).await;
    (env, app, program)
}

#[tokio::test]
async fn each_signal_begins_a_graceful_stop_with_the_lines_of_daprd() {
    for (signal, name) in [("INT", "interrupt"), ("TERM", "terminated")] {
        let env = environment().await;
        let mut program = Program::start(false, &[], Some(env.folder()));
        program.line(READY).await;
        program.send(signal).await;
        assert_eq!(program.exit_code().await, Some(0), "2.10 {signal}");
        let received = format!("2.10 Received signal '{name}'; beginning shutdown");
        for component in ["orders (bindings.aws.kinesis/v1)", "people (bindings.aws.dynamodb/v1)"] {
            let component = format!("2.10 Shutting down component {component}");
            let last = ["2.10 Dapr runtime stopped", "2.10 Daprd shutdown gracefully"];
            program.in_order(&[&received, "2.10 Dapr is shutting down", &component, last[0], last[1]]).await;
        }
    }
}

#[tokio::test]
async fn a_stop_that_takes_too_long_is_forced_with_exit_code_1() {
    let (_env, _app, mut program) = holding(&["--dapr-graceful-shutdown-seconds", "1"]).await;
    program.send("TERM").await;
    assert_eq!(program.exit_code().await, Some(1), "2.10 an overrun");
    program.line("Graceful shutdown timeout exceeded, forcing shutdown").await;
    assert!(!program.read().contains("Daprd shutdown gracefully"), "2.10 {}", program.read());
}

#[tokio::test]
async fn without_a_limit_a_stop_waits_for_the_app_and_says_so() {
    let (_env, app, mut program) = holding(&["--dapr-graceful-shutdown-seconds=0"]).await;
    program.send("TERM").await;
    program.line("Graceful shutdown timeout is infinite, will wait indefinitely to shutdown").await;
    app.behave(Behaviour::Respond(200));
    assert_eq!(program.exit_code().await, Some(0), "2.10 0 is no limit");
    assert_eq!(app.accepted().len(), 1, "2.10 the handler in flight is waited for");
}

async fn shutdown(program: &Program, headers: &[(&str, &str)]) -> Response {
    let mut post = Request::post("/v1.0/shutdown");
    for (name, value) in headers {
        post = post.header(*name, *value);
    }
    send(program.local_address().await, post, "").await
}

#[tokio::test]
async fn the_api_stops_the_program_gracefully_or_at_once() {
    let none: &[(&str, &str)] = &[];
    for (headers, code, line) in [
        (none, 0, "Shutdown requested via API"),
        (&[("dapr-force-shutdown", "false")], 0, "Shutdown requested via API"),
        (
            &[("dapr-force-shutdown", "true")],
            1,
            "Force shutdown requested, exiting immediately without graceful shutdown",
        ),
    ] {
        for is_compat in [false, true] {
            let mut program = Program::start(is_compat, &[], None);
            program.line(READY).await;
            assert_eq!(shutdown(&program, headers).await.status, 204, "4.3 {headers:?}");
            assert_eq!(program.exit_code().await, Some(code), "4.3 {headers:?}");
            assert!(program.read().contains(line), "4.3 {headers:?}: {}", program.read());
        }
    }
}

#[tokio::test]
async fn a_forced_stop_by_the_api_does_not_wait_for_the_app() {
    let (_env, _app, mut program) = holding(&["--dapr-graceful-shutdown-seconds=0"]).await;
    assert_eq!(shutdown(&program, &[("dapr-force-shutdown", "true")]).await.status, 204);
    assert_eq!(program.exit_code().await, Some(1), "4.3 forced");
}

#[tokio::test]
async fn a_block_ends_when_the_app_is_unhealthy_and_serves_outputs_until_then() {
    let env = environment().await;
    let app = RecordingApp::start().await;
    let port = app.address().port().to_string();
    let checks = ["--enable-app-health-check", "--app-health-probe-interval", "1", "--app-health-threshold", "1"];
    let flags = [&["--app-port", &port, "--dapr-block-shutdown-duration", "180s"], &checks[..]].concat();
    let mut program = Program::start(false, &flags, Some(env.folder()));
    program.line("App entered healthy status").await;
    program.send("INT").await;
    program.line("Blocking graceful shutdown for 3m0s or until app reports unhealthy...").await;
    assert_eq!(program.invoke("orders", CREATE).await.status, 204, "2.10 the APIs stay open");
    app.answer_gets(500);
    program
        .in_order(&[
            "2.10 App reported unhealthy, entering shutdown...",
            "2.10 Dapr is shutting down",
            "2.10 Daprd shutdown gracefully",
        ])
        .await;
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test]
async fn without_a_healthy_app_a_block_ends_at_once() {
    let mut app = RecordingApp::start().await;
    app.stop().await;
    let port = app.address().port().to_string();
    let mut program = Program::start(false, &["--app-port", &port, "--dapr-block-shutdown-duration", "1h"], None);
    program.line("HTTP server listening on TCP address: ").await;
    program.send("TERM").await;
    assert_eq!(program.exit_code().await, Some(0), "2.10 the app was never found");
    program.line("App reported unhealthy, entering shutdown...").await;
}
