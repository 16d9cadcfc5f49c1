//! §2.3: health checks of the app.

use super::program::Program;
use super::{environment, exchange, request};
use crate::environment::{Environment, Sidecar};
use crate::fakes::RecordingApp;
use bindd::settings::{AppHealthSettings, Settings};
use serde_json::json;
use std::time::Duration;

/// Checks that follow each other fast, and of which each counts.
pub(super) fn with_checks(mut settings: Settings) -> Settings {
    settings.app_health = Some(AppHealthSettings {
        path: "/healthz".to_owned(),
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(60),
        threshold: 1,
    });
    settings
}

#[tokio::test]
async fn the_lines_about_the_health_of_the_app() {
    let env = environment().await;
    let app = RecordingApp::start().await;
    app.answer_gets(500);
    let port = app.address().port().to_string();
    let checks = ["--enable-app-health-check", "--app-health-probe-interval", "1", "--app-health-threshold", "1"];
    let mut program = Program::start(false, &[&["--app-port", &port], &checks[..]].concat(), Some(env.folder()));
    program.line("dapr initialized. Status: Running.").await;
    app.until_more_gets(1).await;
    assert!(!program.read().contains("App entered"), "2.3 it is unhealthy at first, without a line");
    let ready = exchange(program.local_address().await, &request("GET /v1.0/healthz", "", "")).await;
    assert_eq!(ready.status, 204, "4.1 the health of the app does not count");
    for round in 1..=2 {
        app.answer_gets(204);
        program.lines("App entered healthy status", round).await;
        app.answer_gets(503);
        program.lines("App entered un-healthy status: ", round).await;
    }
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test]
async fn a_probe_succeeds_with_2xx_only() {
    for (status, is_healthy) in [(200, true), (299, true), (302, false), (404, false), (405, false), (500, false)] {
        let env = Environment::start().await;
        env.stream("orders", 1).await;
        env.input("orders-in", "orders", "shared");
        let records = env.put("orders", "order-", 1).await;
        let app = RecordingApp::start().await;
        app.answer_gets(status);
        let sidecar = Sidecar::start(&with_checks(env.settings(Some(&app)))).await.unwrap();
        if is_healthy {
            app.until_accepted(&records).await;
        } else {
            app.until_more_gets(5).await;
            assert!(app.events().is_empty(), "2.3 {status} is a failure");
            app.answer_gets(200);
            app.until_accepted(&records).await;
        }
        let probed = |path: &str| path == "healthz" || path == "dapr/config";
        assert!(app.gets().iter().all(|(path, _)| probed(path)), "2.3 {:?}", app.gets());
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn numbers_that_are_not_positive_mean_the_defaults() {
    let mut app = RecordingApp::start().await;
    app.stop().await;
    let port = app.address().port().to_string();
    let app_port = ["--app-port", &port, "--enable-app-health-check"];
    let zeros = ["--app-health-probe-interval=0", "--app-health-probe-timeout=-1", "--app-health-threshold=0"];
    let set = [
        "--app-health-probe-interval=7",
        "--app-health-probe-timeout=250",
        "--app-health-threshold=2",
        "--app-health-check-path=/up",
    ];
    let grpc = ["--app-protocol=grpc"];
    let none: &[&str] = &[];
    for (says, flags, path, interval, timeout, threshold) in [
        ("2.3 the defaults", none, Some("/healthz"), "5s", "500ms", 3),
        ("2.3 not positive", &zeros, Some("/healthz"), "5s", "500ms", 3),
        ("2.3 as set", &set, Some("/up"), "7s", "250ms", 2),
        ("4.2 gRPC has no path", &grpc, None, "5s", "500ms", 3),
    ] {
        let mut program = Program::start(false, &[&app_port[..], flags].concat(), None);
        let page = exchange(program.local_address().await, &request("GET /v1.0/metadata", "", "")).await.json();
        let mut expected =
            json!({"healthProbeInterval": interval, "healthProbeTimeout": timeout, "healthThreshold": threshold});
        if let Some(path) = path {
            expected["healthCheckPath"] = json!(path);
        }
        assert_eq!(page["appConnectionProperties"]["health"], expected, "{says}");
        assert_eq!(program.stop().await, Some(0));
    }
}
