use super::{parse, run, run_in, usage_error};
use crate::settings::{AppProtocol, Command, Mode};
use std::path::PathBuf;
use std::time::Duration;

#[test]
fn the_protocol_of_the_app_is_read_in_any_case() {
    let protocol = |line: &str| run(&format!("--app-port 3000 {line}")).app.map(|app| app.protocol);
    for (line, expected) in [
        ("", AppProtocol::Http),
        ("--app-protocol HTTPS", AppProtocol::Https),
        ("--app-protocol h2c", AppProtocol::H2c),
        ("--app-protocol gRPC", AppProtocol::Grpc),
        ("--app-protocol grpcs", AppProtocol::Grpcs),
        ("--app-ssl", AppProtocol::Https),
        ("--app-ssl --app-protocol grpc", AppProtocol::Grpcs),
        ("--app-ssl=false", AppProtocol::Http),
    ] {
        assert_eq!(protocol(line), Some(expected), "{line}");
    }
    assert!(usage_error("--app-id x --app-protocol ftp").text.contains("http, https, h2c, grpc or grpcs"));
}

#[test]
fn health_checks_take_the_defaults_of_daprd() {
    assert_eq!(run("--app-health-check-path /x").app_health, None, "not enabled");
    let health = |line: &str| run(&format!("--enable-app-health-check {line}")).app_health.unwrap();
    let (seconds, millis) = (Duration::from_secs, Duration::from_millis);
    for (line, path, interval, timeout, threshold) in [
        ("", "/healthz", seconds(5), millis(500), 3),
        (
            "--app-health-probe-interval 0 --app-health-probe-timeout -1 --app-health-threshold 0",
            "/healthz",
            seconds(5),
            millis(500),
            3,
        ),
        (
            "--app-health-check-path up --app-health-probe-interval 1 --app-health-threshold 1",
            "/up",
            seconds(1),
            millis(500),
            1,
        ),
        ("--app-health-probe-timeout 1000 --app-health-probe-interval 1", "/healthz", seconds(1), seconds(1), 3),
    ] {
        let health = health(line);
        assert_eq!((health.path.as_str(), health.interval, health.timeout), (path, interval, timeout), "{line}");
        assert_eq!(health.threshold, threshold, "{line}");
    }
    let error = usage_error("--app-id x --enable-app-health-check --app-health-probe-timeout 5001");
    assert!(error.text.contains("'health-probe-timeout' must be smaller than 'health-probe-interval'"), "{error}");
}

#[test]
fn listeners_follow_daprd() {
    let settings = run("--dapr-listen-addresses [::1],127.0.0.1 --dapr-grpc-port 6000 --dapr-public-port 3501");
    assert_eq!(settings.grpc_addresses, ["[::1]:6000".parse().unwrap(), "127.0.0.1:6000".parse().unwrap()]);
    assert_eq!(settings.public_address, Some("0.0.0.0:3501".parse().unwrap()), "the kubelet calls the pod's address");
    let settings =
        run("--dapr-public-port 3501 --dapr-public-listen-address 127.0.0.1 --dapr-internal-grpc-port 50002");
    assert_eq!(settings.public_address, Some("127.0.0.1:3501".parse().unwrap()));
    assert_eq!(settings.internal_grpc_address, Some("127.0.0.1:50002".parse().unwrap()));
    assert!(!settings.internal_grpc_any_port);
    let (one, same) = (run(""), run("--dapr-internal-grpc-port 0"));
    let port = one.internal_grpc_address.unwrap().port();
    assert!((47_300..49_348).contains(&port) && one.internal_grpc_any_port, "{port}");
    assert_eq!(one.internal_grpc_address, same.internal_grpc_address, "it is the same at each start");
    assert!(run("--dapr-compat").internal_grpc_address.unwrap().ip().is_unspecified());
    let settings = run("--unix-domain-socket /run/dapr --enable-profiling");
    assert_eq!(settings.unix_socket_folder, Some(PathBuf::from("/run/dapr")));
    assert_eq!(settings.profile_addresses, ["127.0.0.1:7777".parse().unwrap()]);
    let settings = run("--unix-domain-socket= --profile-port 1");
    assert_eq!((settings.unix_socket_folder, settings.profile_addresses), (None, Vec::new()));
    let at = |line| run(line).profile_addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(at("--enable-profiling --dapr-listen-addresses 0.0.0.0"), ["127.0.0.1:7777"], "no token protects it");
    assert_eq!(at("--enable-profiling --dapr-compat --profile-port 1"), ["[::]:1"]);
    assert_eq!(at("--dapr-compat"), [""; 0]);
    let error = usage_error("--app-id x --app-port 50001");
    assert!(error.text.contains("the 'dapr-grpc-port' argument value 50001 conflicts with 'app-port'"), "{error}");
}

#[test]
fn files_and_the_life_of_the_process_are_set() {
    let settings = run("--config a.yaml --config b.yaml,c.yaml --log-file /var/log/x --enable-api-logging=false");
    assert_eq!(settings.config_paths, ["a.yaml", "b.yaml", "c.yaml"].map(PathBuf::from));
    assert_eq!((settings.log_file, settings.api_logging), (Some(PathBuf::from("/var/log/x")), Some(false)));
    let settings =
        run("--mode Kubernetes --disable-builtin-k8s-secret-store --disable-init-endpoints config,subscribe");
    assert_eq!((settings.mode, settings.builtin_kubernetes_secrets), (Mode::Kubernetes, false));
    assert!(settings.skips_app_config && !run("--disable-init-endpoints subscribe").skips_app_config);
    assert_eq!(run("--dapr-block-shutdown-duration 3m").block_shutdown, Some(Duration::from_secs(180)));
    assert_eq!(run("--dapr-block-shutdown-duration 0s").block_shutdown, None);
    assert!(usage_error("--app-id x --mode serverless").text.contains("standalone or kubernetes"));
}

#[test]
fn reload_and_compatibility_have_switches() {
    let watch = |line: &str| run(line).reload.watch;
    assert_eq!([watch(""), watch("--watch"), watch("--watch=false")], [None, Some(true), Some(false)]);
    let interval = |line: &str| run(line).reload.reconcile_interval;
    assert_eq!(interval("--hot-reload-reconcile-interval 5s"), Duration::from_secs(5));
    assert_eq!(interval("--hot-reload-reconcile-interval=-1s"), Duration::from_secs(60));
    let compat = |line, value| run_in(line, &[("BINDD_DAPR_COMPAT", value)]).dapr_compat;
    assert!(
        compat("", "true") && !compat("--dapr-compat=false", "true") && !compat("", "") && compat("--dapr-compat", "")
    );
    assert!(run("--strict-components").strict_components && !run("").strict_components);
}

#[test]
fn one_switch_turns_errors_addresses_and_checks_to_those_of_daprd() {
    let usual = run("");
    assert!(!usual.dapr_compat && !usual.strict_dapr_errors && !usual.access.is_open);
    for compat in [run("--dapr-compat"), run_in("", &[("BINDD_DAPR_COMPAT", "true")])] {
        assert!(compat.dapr_compat && compat.strict_dapr_errors && compat.access.is_open);
        let at = [compat.http_addresses[0], compat.grpc_addresses[0], compat.metrics_address.unwrap()];
        assert_eq!(at.map(|address| address.to_string()), ["[::]:3500", "[::]:50001", "[::]:9090"]);
    }
    let given = run("--dapr-compat --dapr-listen-addresses 127.0.0.1 --metrics-listen-address 127.0.0.1");
    let at = [given.http_addresses[0], given.grpc_addresses[0], given.metrics_address.unwrap()];
    assert!(at.iter().all(|address| address.ip().is_loopback()), "addresses that are given stay: {at:?}");
    assert!(!run_in("--dapr-compat=false", &[("BINDD_DAPR_COMPAT", "true")]).dapr_compat, "the flag wins");
}

#[test]
fn http_2_can_be_switched_off_as_in_daprd() {
    assert!(run("").http2 && run_in("", &[("DAPR_HTTP_DISABLE_H2C", "false")]).http2);
    assert!(!run_in("", &[("DAPR_HTTP_DISABLE_H2C", "yes")]).http2);
}

#[test]
fn a_wait_in_vain_is_a_success_as_in_daprd_only_with_its_switch() {
    for (flags, succeeds) in [("--wait", false), ("--wait --dapr-compat", true)] {
        assert!(matches!(parse(flags).unwrap(), Command::Wait(wait) if wait.succeeds_anyway == succeeds), "{flags}");
    }
}
