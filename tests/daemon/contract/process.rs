//! §2.2, §2.10, §4.3, §4.5 and §4.6: the program itself, its log and its exit codes.

use super::program::Program;
use bindd::testing::within;
use std::fs;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

/// daprd's lines about a start without app and a stop, in their order.
#[tokio::test]
async fn the_log_has_the_lines_that_tools_wait_for() {
    for is_compat in [false, true] {
        let mut program = Program::start(is_compat, &[], None);
        program.line("dapr initialized. Status: Running. Init Elapsed ").await;
        assert_eq!(program.stop().await, Some(0), "2.10 a graceful stop");
        program
            .in_order(&[
                "4.5 gRPC server listening on TCP address: ",
                "4.5 API gRPC server is running on port ",
                "4.5 Internal gRPC server is running on ",
                "4.5 HTTP server is running on port ",
                "4.5 dapr initialized. Status: Running. Init Elapsed ",
                "2.10 Received signal 'terminated'; beginning shutdown",
                "2.10 Dapr is shutting down",
                "2.10 Dapr runtime stopped",
                "2.10 Daprd shutdown gracefully",
            ])
            .await;
        let log = program.read();
        for absent in ["waiting on port", "application discovered on port"] {
            assert!(!log.contains(absent), "2.2 {absent:?} without an app port: {log}");
        }
    }
}

#[tokio::test]
async fn the_internal_port_accepts_connections_and_is_the_same_at_each_start() {
    let port_of = |line: &str| line.rsplit_once("127.0.0.1:").map(|(_, rest)| rest.to_owned());
    let mut first = Program::start(false, &[], None);
    let line = first.line("Internal gRPC server is running on ").await;
    let digits: String = port_of(&line).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let port: u16 = digits.parse().unwrap();
    drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    // A second sidecar of the app does without that port.
    let mut second = Program::start(false, &[], None);
    let line = second.line("Internal gRPC server is running on ").await;
    assert!(!line.contains(&format!("127.0.0.1:{port}")), "4.6 {line}");
    assert_eq!((first.stop().await, second.stop().await), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_faulty_file_ends_the_program_only_without_the_switch() {
    let folder = TempDir::new().unwrap();
    let text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: orders}\nspec: {type: \
                bindings.aws.kinesis, version: v1}\n";
    fs::write(folder.path().join("a.yaml"), text).unwrap();
    let mut own = Program::start(false, &[], Some(folder.path()));
    assert_eq!(own.exit_code().await, Some(1), "{}", own.read());
    assert!(own.read().contains("Fatal error from runtime: failed to load components: "), "3.1 {}", own.read());
    let mut compat = Program::start(true, &[], Some(folder.path()));
    let line = compat.line("Failed to init component orders (bindings.aws.kinesis/v1): ").await;
    assert!(line.contains(" level=warning ") || line.contains(" level=warn "), "{line}");
    compat.line("dapr initialized. Status: Running.").await;
    assert_eq!(compat.stop().await, Some(0));
    let mut missing = Program::start(true, &[], Some(&folder.path().join("none")));
    assert_eq!(missing.exit_code().await, Some(1), "3.1 a folder that does not exist is fatal in both");
    assert!(missing.read().contains("Fatal error from runtime: failed to load components: "), "{}", missing.read());
}

#[tokio::test]
async fn a_component_that_cannot_be_connected_ends_the_program_in_the_words_of_daprd() {
    let folder = TempDir::new().unwrap();
    for name in ["orders", "rows"] {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
             type: bindings.aws.dynamodb\n  version: v1\n  metadata: [{{name: table, value: rows}}, {{name: region, value: \
             us-east-1}}, {{name: caBundle, value: /no/such/bundle.pem}}]\n"
        );
        fs::write(folder.path().join(name).with_extension("yaml"), text).unwrap();
    }
    let mut program = Program::start(false, &[], Some(folder.path()));
    assert_eq!(program.exit_code().await, Some(1), "{}", program.read());
    let log = program.read();
    let failure = |name: &str| {
        format!("process component {name} error: [INIT_COMPONENT_FAILURE]: initialization error occurred for {name} (")
    };
    for name in ["orders", "rows"] {
        for begin in [format!("Failed to init component {name} ("), failure(name)] {
            assert!(log.contains(&begin), "3.3 {begin}: {log}");
        }
    }
    for begin in [
        "Error processing component, daprd will exit gracefully: ",
        "Fatal error from runtime: failed to load components: ",
    ] {
        assert!(log.contains(&(begin.to_owned() + &failure("orders"))), "3.3 {begin}: {log}");
    }
}

#[tokio::test]
async fn wrong_usage_is_refused_in_the_words_of_daprd() {
    for (says, args, words) in [
        ("4.6 unknown flag", &["--no-such-flag"][..], "--no-such-flag"),
        ("4.6 dots", &["--app-id", "a.b"], "parameter app-id cannot contain dots"),
        ("4.6 no app id", &["--app-id="], "parameter app-id cannot be empty"),
        (
            "4.6 one port twice",
            &["--app-port", "3500", "--dapr-http-port=3500"],
            "the 'dapr-http-port' argument value 3500 conflicts with 'app-port'",
        ),
        (
            "2.3 a time limit beyond the interval",
            &["--enable-app-health-check", "--app-health-probe-timeout", "6000"],
            "value for 'health-probe-timeout' must be smaller than 'health-probe-interval'",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        if !args.iter().any(|arg| arg.starts_with("--app-id")) {
            command.args(["--app-id", "shop"]);
        }
        let output = within(says, command.args(args).stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{says}: {error}");
        assert!(error.contains(words), "{says}: {error}");
    }
}

/// Daprd's flags beside those of files and of the harness, as the injector and the command-line tool pass them.
const FLAGS: [&str; 49] = [
    "--app-port=0",
    "--app-protocol=HTTP",
    "--app-channel-address=127.0.0.1",
    "--app-max-concurrency=-1",
    "--app-ssl=false",
    "--app-binding-options-timeout=3s",
    "--enable-app-health-check=false",
    "--app-health-check-path=/healthz",
    "--app-health-probe-interval=5",
    "--app-health-probe-timeout=500",
    "--app-health-threshold=3",
    "--dapr-internal-grpc-port=0",
    "--dapr-internal-grpc-listen-address=127.0.0.1",
    "--dapr-public-port=0",
    "--dapr-public-listen-address=127.0.0.1",
    "--dapr-listen-addresses=[::1],127.0.0.1",
    "--unix-domain-socket=",
    "--mode=standalone",
    "--max-body-size=4Mi",
    "--dapr-http-max-request-size=4",
    "--read-buffer-size=4Ki",
    "--dapr-http-read-buffer-size=4",
    "--allowed-origins=*",
    "--dapr-graceful-shutdown-seconds=5",
    "--dapr-block-shutdown-duration=0s",
    "--metrics-port=9090",
    "--metrics-listen-address=0.0.0.0",
    "--enable-profiling=false",
    "--profile-port=7777",
    "--log-level=INFO",
    "--log-as-json=false",
    "--log-file=",
    "--enable-api-logging=false",
    "--disable-init-endpoints=config,subscribe",
    "--hot-reload-reconcile-interval=1m",
    "--enable-mtls",
    "false",
    "--sentry-address=a:1",
    "--control-plane-address=a:1",
    "--control-plane-trust-domain=localhost",
    "--control-plane-namespace=default",
    "--sentry-request-jwt-audiences=a",
    "--placement-host-address=a:1",
    "--scheduler-host-address=",
    "--scheduler-job-streams=3",
    "--actors-disseminate-timeout=30s",
    "--actors-service=a",
    "--reminders-service=a",
    "--disable-builtin-k8s-secret-store",
];

#[tokio::test]
async fn every_flag_of_daprd_is_accepted() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, "kind: Configuration\nspec: {}\n").unwrap();
    let (path, config) = (folder.path().to_str().unwrap(), config.to_str().unwrap());
    for dashes in ["--", "-"] {
        let paths = [("resources-path", path), ("components-path", path), ("config", config)];
        let paths = paths.map(|(name, value)| format!("{dashes}{name}={value}"));
        let flags = FLAGS.map(|flag| flag.replacen("--", dashes, 1));
        let flags: Vec<&str> = flags.iter().chain(&paths).map(String::as_str).collect();
        let mut program = Program::start(false, &flags, None);
        program.line("dapr initialized. Status: Running.").await;
        assert_eq!(program.stop().await, Some(0), "4.6 {}", program.read());
    }
}

#[tokio::test]
async fn the_version_is_printed_alone() {
    for (flag, code) in [("--version", 0), ("--build-info", 0), ("--help", 0)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindd"));
        let output = within(flag, command.arg(flag).stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "4.3 {flag}: {text}");
        let version = env!("CARGO_PKG_VERSION");
        assert!(flag != "--version" || text == format!("{version}\n"), "4.3 {text}");
        assert!(flag == "--help" || text.contains(version), "4.3 {flag}: {text}");
    }
}
