use super::gather::parse_with;
use super::values;
use super::{
    AppEndpoint, AppProtocol, Command, LeaseTableSource, LeasesAction, LeasesSettings, SeekTarget, Settings, UsageError,
};
use crate::domain::{RecordPosition, Timestamp};
use crate::http::{Access, AllowedHosts, AllowedOrigins};
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::time::Duration;

#[path = "daprd.rs"]
mod daprd;

fn parse(line: &str) -> Result<Command, UsageError> {
    parse_in(line, &[])
}

fn parse_in(line: &str, environment: &[(&str, &str)]) -> Result<Command, UsageError> {
    let args = std::iter::once("bindd").chain(line.split_whitespace()).map(Into::into);
    parse_with(args, &|name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()))
}

fn run(line: &str) -> Settings {
    run_in(line, &[])
}

fn run_in(line: &str, environment: &[(&str, &str)]) -> Settings {
    match parse_in(&format!("--app-id orders {line}"), environment) {
        Ok(Command::Run(settings)) => *settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn usage_error(line: &str) -> UsageError {
    parse(line).expect_err(line)
}

#[test]
fn only_the_app_id_is_required() {
    let settings = run("");
    assert_eq!(settings.app_id, "orders");
    assert_eq!(settings.app, None);
    assert_eq!(settings.http_addresses, ["127.0.0.1:3500".parse().unwrap()]);
    assert_eq!(settings.metrics_address, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!((settings.max_body_size, settings.read_buffer_size), (Some(4 << 20), 4 << 10));
    assert_eq!(settings.graceful_shutdown, Some(Duration::from_secs(5)));
    assert_eq!((settings.app_timeout, settings.probe_timeout), (Duration::from_secs(60), Duration::from_secs(3)));
    assert!(!settings.strict_dapr_errors && !settings.log_json && settings.log_filter == "info");
    assert!(settings.unused_flags.is_empty() && settings.resources_paths.is_empty());
}

#[test]
fn local_settings_are_the_defaults_of_the_flags() {
    let local = Settings::local("orders", "files");
    let mut flags =
        run("--resources-path files --dapr-http-port 0 --dapr-grpc-port 0 --enable-metrics=false --watch=false");
    assert!(flags.internal_grpc_address.is_some());
    (flags.internal_grpc_address, flags.internal_grpc_any_port) = (None, false);
    assert_eq!(format!("{local:?}"), format!("{flags:?}"));
}

#[test]
fn there_is_one_worker_thread_by_default() {
    let threads = |more: &str| parse(&format!("--app-id orders {more}")).unwrap().worker_threads().map(usize::from);
    assert_eq!(threads(""), Some(1));
    assert_eq!(threads("--worker-threads 4"), Some(4));
    assert_eq!(threads("--worker-threads=0"), None, "one per core");
    assert!(usage_error("--app-id orders --worker-threads 2000").text.contains("1024"));
}

#[test]
fn the_buffer_of_bodies_comes_from_the_flag_then_the_environment() {
    let variable = [("BINDD_MAX_BUFFER", "64Mi")];
    assert_eq!(run("").max_buffer, Some(256 << 20));
    assert_eq!(run_in("", &variable).max_buffer, Some(64 << 20));
    assert_eq!(run_in("--max-buffer 1Mi", &variable).max_buffer, Some(1 << 20));
    assert_eq!(run_in("--max-buffer=0", &variable).max_buffer, None);
    let error = parse_in("--app-id orders", &[("BINDD_MAX_BUFFER", "lots")]).unwrap_err();
    assert!(error.text.contains("BINDD_MAX_BUFFER"), "{error}");
}

#[test]
fn flags_are_read_in_each_spelling() {
    for line in ["--app-port=3000", "--app-port 3000", "-app-port 3000", "-app-port=3000"] {
        assert_eq!(
            run(line).app,
            Some(AppEndpoint { address: "127.0.0.1".into(), port: 3000, protocol: AppProtocol::Http }),
            "{line}"
        );
    }
    for (line, json) in [("", false), ("--log-as-json", true), ("--log-as-json=false", false)] {
        assert_eq!(run(line).log_json, json, "{line}");
    }
    for line in ["--log-as-json true", "-log-as-json", "--log-as-json=1", "--log-as-json=false --log-as-json"] {
        assert!(run(line).log_json, "{line}");
    }
    assert_eq!(run("--enable-metrics false").metrics_address, None);
    assert_eq!(run("--app-port 0").app, None);
}

#[test]
fn the_last_of_a_repeated_flag_wins() {
    assert_eq!(run("--dapr-http-port 1 --dapr-http-port 2").http_addresses[0].port(), 2);
}

#[test]
fn resources_paths_repeat_and_split_at_commas() {
    let paths = |line| run(line).resources_paths;
    let expected: Vec<PathBuf> = ["a", "b", "c"].map(PathBuf::from).to_vec();
    assert_eq!(paths("--resources-path a,b --resources-path c"), expected);
    assert_eq!(paths("--components-path old"), [PathBuf::from("old")]);
    assert_eq!(paths("--components-path old --resources-path new"), [PathBuf::from("new")]);
}

#[test]
fn listen_addresses_are_a_list() {
    let at = |line| run(line).http_addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(at("--dapr-listen-addresses [::1],127.0.0.1"), ["[::1]:3500", "127.0.0.1:3500"]);
    assert_eq!(at("--dapr-listen-addresses 0.0.0.0 --dapr-http-port 0"), ["0.0.0.0:0"]);
    assert_eq!(at("--dapr-listen-addresses="), ["127.0.0.1:3500"]);
    assert_eq!(at("--dapr-listen-addresses localhost,127.0.0.1"), ["127.0.0.1:3500"]);
}

#[test]
fn pages_and_names_are_allowed_by_flag_or_environment() {
    let access = |line, environment: &[_]| run_in(line, environment).access;
    assert_eq!(access("", &[]), Access::default());
    assert_eq!(access("--allowed-origins=", &[]), Access::default(), "as daprd's default");
    let origins = AllowedOrigins::parse("https://shop.example,http://localhost:8080").unwrap();
    let line = "--allowed-origins https://shop.example,http://localhost:8080";
    assert_eq!(access(line, &[]), Access { origins, ..Access::default() });
    let of = |list| Access { hosts: AllowedHosts::parse(list).unwrap(), ..Access::default() };
    let variable = [("BINDD_ALLOWED_HOSTS", "a.example")];
    assert_eq!(access("", &variable), of("a.example"));
    assert_eq!(access("--allowed-hosts b.example", &variable), of("b.example"));
    assert_eq!(access("--allowed-hosts=", &variable), Access::default());
    let wrong = parse_in("--app-id orders", &[("BINDD_ALLOWED_HOSTS", "http://a")]).unwrap_err();
    assert!(wrong.code == 2 && wrong.text.contains("BINDD_ALLOWED_HOSTS"), "{wrong}");
}

#[test]
fn sizes_follow_daprd() {
    for (line, expected) in [
        ("--max-body-size 16Mi", Some(16 << 20)),
        ("--max-body-size 0", None),
        ("--max-body-size -2", None),
        ("--max-body-size -1", Some(4 << 20)),
        ("--max-body-size=1k", Some(1000)),
        ("--dapr-http-max-request-size 8", Some(8 << 20)),
        ("--dapr-http-max-request-size 8 --max-body-size 1Mi", Some(1 << 20)),
    ] {
        assert_eq!(run(line).max_body_size, expected, "{line}");
    }
    assert_eq!(run("--read-buffer-size 8Ki").read_buffer_size, 8 << 10);
    assert_eq!(run("--dapr-http-read-buffer-size 16").read_buffer_size, 16 << 10);
    assert_eq!(run("--read-buffer-size 0").read_buffer_size, 4 << 10);
}

#[test]
fn a_graceful_shutdown_may_have_no_limit() {
    let grace = |seconds| run(&format!("--dapr-graceful-shutdown-seconds {seconds}")).graceful_shutdown;
    assert_eq!([grace(30), grace(-1), grace(0)], [Some(30), Some(5), None].map(|s| s.map(Duration::from_secs)));
}

#[test]
fn the_limits_of_inputs_are_read() {
    let settings = |line: &str| {
        let settings = run(line);
        (settings.app_max_concurrency.map(std::num::NonZeroUsize::get), settings.max_buffered_bytes)
    };
    for (line, expected) in [
        ("", (None, 64 << 20)),
        ("--app-max-concurrency 4 --max-buffered-bytes 128Mi", (Some(4), 128 << 20)),
        ("--app-max-concurrency=-1 --max-buffered-bytes=0", (None, usize::MAX)),
        ("--app-max-concurrency -1 --max-buffered-bytes -1", (None, usize::MAX)),
        ("--app-max-concurrency 0", (None, 64 << 20)),
    ] {
        assert_eq!(settings(line), expected, "{line}");
    }
}

#[test]
fn flags_of_daprd_without_effect_are_listed() {
    let settings = run("-enable-mtls --placement-host-address a:1 --scheduler-host-address= --sentry-address b");
    let mut unused = settings.unused_flags;
    unused.sort();
    let expected = ["enable-mtls", "placement-host-address", "scheduler-host-address", "sentry-address"];
    assert_eq!(unused, expected.map(|name| format!("--{name}")));
}

#[test]
fn the_environment_adds_tokens_namespace_and_strictness() {
    let environment = [
        ("DAPR_API_TOKEN", "in"),
        ("APP_API_TOKEN", "out"),
        ("NAMESPACE", "prod"),
        ("BINDD_STRICT_DAPR_ERRORS", "Yes"),
    ];
    let settings = run_in("", &environment);
    assert_eq!(settings.api_token.as_ref().map(|t| t.expose_secret().to_owned()).as_deref(), Some("in"));
    assert_eq!(settings.app_api_token.as_ref().map(|t| t.expose_secret().to_owned()).as_deref(), Some("out"));
    assert_eq!((settings.namespace.as_deref(), settings.strict_dapr_errors), (Some("prod"), true));
    assert!(!run_in("--strict-dapr-errors=false", &environment).strict_dapr_errors);
    assert!(!format!("{settings:?}").contains("\"in\""));
    assert!(run_in("", &[("DAPR_API_TOKEN", "")]).api_token.is_none());
}

#[test]
fn a_command_made_for_daprds_image_starts_bindd() {
    for line in ["./daprd --app-id orders", "/daprd --app-id orders", "daprd -app-id orders --enable-mtls false"] {
        let Ok(Command::Run(settings)) = parse(line) else { panic!("{line} was rejected") };
        assert_eq!(settings.app_id, "orders");
        assert_eq!(settings.notices.len(), 1, "{line}: {:?}", settings.notices);
    }
    assert!(usage_error("daprd").text.contains("--app-id"));
    assert!(run("").notices.is_empty());
    for (line, expected) in [
        ("chekc --resources-path x", "'check'"),
        ("polcy --resources-path x", "'policy'"),
        ("./components", "'./components'"),
        ("--app-id x ./components", "'./components'"),
        ("x --app-id y", "'x'"),
    ] {
        let error = usage_error(line);
        assert!(error.code == 2 && error.text.contains(expected), "{line}: {error:?}");
    }
}

#[test]
fn wait_starts_no_sidecar() {
    let address = |line: &str| match parse(line) {
        Ok(Command::Wait(wait)) => wait.address.to_string(),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(address("--wait"), "127.0.0.1:3500");
    assert_eq!(address("-wait --app-id x --dapr-http-port 3600"), "127.0.0.1:3600");
    assert_eq!(address("--wait true --dapr-listen-addresses 0.0.0.0"), "127.0.0.1:3500");
    assert_eq!(address("/daprd --wait --dapr-listen-addresses [::],127.0.0.1"), "[::1]:3500");
    assert_eq!(address("--wait --dapr-listen-addresses 10.0.0.1"), "10.0.0.1:3500");
    assert!(usage_error("--wait --dapr-http-port 0").text.contains("--dapr-http-port"));
    assert!(run("--wait=false").unused_flags.is_empty());
    assert!(!cfg!(feature = "embedded") || usage_error("dev --wait").text.contains("--wait"));
}

#[test]
fn a_token_that_no_header_can_carry_is_an_error() {
    for name in ["DAPR_API_TOKEN", "APP_API_TOKEN"] {
        for token in ["s3cret\n", "s3 cret", "s3cret\u{1}", "s3crét"] {
            let error = parse_in("--app-id x", &[(name, token)]).unwrap_err();
            assert!(error.text.contains(name) && !error.text.contains("s3"), "{error}");
        }
        assert_eq!(run_in("", &[(name, "")]).notices.len(), 1);
    }
}

#[test]
fn wrong_usage_exits_2_and_says_what_to_do() {
    for (line, expected) in [
        ("", "--app-id"),
        ("--app-id a.b", "cannot contain dots"),
        ("--app-id a --app-port 3500", "conflicts with 'app-port'"),
        ("--app-id a --dapr-listen-addresses example.org", "not an IP address"),
        ("--app-id a --allowed-origins shop.example", "--allowed-origins: `shop.example` is not an origin"),
        ("--app-id a --allowed-hosts http://a", "--allowed-hosts: `http://a` is not a host name"),
        ("--app-id a --app-timeout 0", "longer than 0"),
        ("--app-id a --app-timeout soon", "500ms"),
        ("--app-id a --max-body-size big", "4Mi"),
        ("--app-id a --resource-path x", "--resources-path"),
        ("--app-id a --app-port 70000", "70000"),
        ("check", "--resources-path"),
        ("leases", "seek"),
        ("leases list", "--table"),
        ("leases list --table orders --app-id shop", "cannot be used with"),
        ("leases list --resources-path a --region eu-west-1", "cannot be used with"),
        ("leases export", "--resources-path"),
        ("leases seek --table orders --to latest", "--all"),
        ("leases seek --table orders --to latest --all shardId-1", "cannot be used with"),
        ("leases seek --table orders --to soon --all", "write trim_horizon, latest, a time"),
        ("leases seek --table orders --all --to 49680426136442942322470071529284194863199545684828094466", "one shard"),
        ("leases release --table orders", "--all"),
        ("leases import --table orders", "--file"),
    ] {
        let error = usage_error(line);
        assert!(error.code == 2 && error.text.contains(expected), "{line}: {error:?}");
    }
}

#[test]
fn help_and_version_exit_0() {
    for (line, expected) in
        [("--help", "Usage: bindd"), ("-h", "check"), ("--version", "0"), ("--build-info", "bindd 0")]
    {
        let error = usage_error(line);
        assert!(error.code == 0 && error.text.contains(expected), "{line}: {error:?}");
    }
}

#[test]
fn check_takes_paths_app_and_namespace() {
    let Ok(Command::Check(check)) = parse("check --resources-path a,b --app-id x --namespace n --json") else {
        panic!("check was not read");
    };
    assert_eq!(check.paths, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!((check.app_id.as_deref(), check.namespace.as_deref(), check.json), (Some("x"), Some("n"), true));
}

fn leases(line: &str) -> LeasesSettings {
    match parse(&format!("leases {line}")) {
        Ok(Command::Leases(settings)) => *settings,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn leases_names_a_table_or_the_files_of_a_component() {
    let (name, region, endpoint) = ("t".to_owned(), Some("r".to_owned()), Some("http://e".to_owned()));
    let list = leases("list --table t --region r --endpoint http://e --json");
    assert_eq!(list.table, LeaseTableSource::Table { name, region, endpoint });
    assert_eq!(list.action, LeasesAction::List { json: true });
    let list = leases("export --resources-path a,b --component orders --app-id shop --namespace n");
    let LeaseTableSource::Component { paths, component, app_id, namespace } = list.table else { panic!("{list:?}") };
    assert_eq!(paths, [PathBuf::from("a"), PathBuf::from("b")]);
    let names = [component, app_id, namespace].map(Option::unwrap);
    assert_eq!(names, ["orders", "shop", "n"]);
}

#[test]
fn a_position_is_a_word_a_time_or_a_sequence_number() {
    let target = |text: &str| match leases(&format!("seek a --table t --to {text}")).action {
        LeasesAction::Seek { to, .. } => to,
        other => panic!("{text}: {other:?}"),
    };
    let after = |digits: &str, sub_sequence| {
        SeekTarget::After(RecordPosition { sequence: digits.parse().unwrap(), sub_sequence })
    };
    let long = "49680426136442942322470071529284194863199545684828094466";
    for (text, expected) in [
        ("TRIM_HORIZON", SeekTarget::TrimHorizon),
        ("latest", SeekTarget::Latest),
        ("1970-01-01T00:00:01Z", SeekTarget::Time(Timestamp::from_millis(1_000))),
        ("1769846400", SeekTarget::Time(Timestamp::from_millis(1_769_846_400_000))),
        ("1769846400000", SeekTarget::Time(Timestamp::from_millis(1_769_846_400_000))),
        (long, after(long, 0)),
        (&format!("{long}/7"), after(long, 7)),
        ("5/0", after("5", 0)),
    ] {
        assert_eq!(target(text), expected, "{text}");
    }
}

#[cfg(feature = "embedded")]
#[test]
fn demo_and_dev_are_read() {
    let Ok(Command::Demo(demo)) = parse("demo --for 6s --rate 0.5 --keep d") else { panic!("demo was not read") };
    assert_eq!((demo.ends_after, demo.keep), (Some(Duration::from_secs(6)), Some(PathBuf::from("d"))));
    assert!(demo.rate < 1.0 && demo.http_port.is_none());
    assert_eq!(usage_error("demo --rate 0").code, 2);

    let line = "dev --app-port 3000 --enable-mtls --resources-path r -- node app.js -p --app-id=x";
    let Ok(Command::Dev(dev)) = parse(line) else { panic!("dev was not read") };
    assert_eq!(dev.command, ["node", "app.js", "-p", "--app-id=x"]);
    assert_eq!((dev.run.app_id.as_str(), dev.run.unused_flags), ("dev", vec!["--enable-mtls".to_owned()]));
}

#[cfg(feature = "embedded")]
#[test]
fn emulators_are_silent_by_default() {
    let filter = |line: &str| match parse(line) {
        Ok(Command::Dev(dev)) => dev.run.log_filter,
        Ok(Command::Demo(demo)) => demo.log_filter,
        other => panic!("{other:?}"),
    };
    assert_eq!(filter("dev"), "ferrokinesis=error,dynoxide=error,info");
    assert_eq!(filter("dev --log-level info,dynoxide=warn"), "ferrokinesis=error,dynoxide=error,info,dynoxide=warn");
    assert_eq!(filter("demo --log-level WARN"), "ferrokinesis=error,dynoxide=error,warn");
    assert_eq!(filter("dev --log-level debug"), "debug");
}

#[test]
fn go_durations_are_read() {
    for (text, millis) in [("0", 0), ("3s", 3000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("-2s", 0), ("250ms", 250)] {
        assert_eq!(values::go_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "-", "5", "s", "1d", "1s5", "1e400h", "."] {
        assert!(values::go_duration(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_are_read_like_those_of_component_files() {
    for (text, bytes) in [("4Mi", 4 << 20), ("1.5Ki", 1536), ("-1", -1), ("+2k", 2_000), ("-2Ki", -2_048), ("0", 0)] {
        assert_eq!(values::quantity(text), Ok(bytes), "{text}");
    }
    for text in ["", "-", "big", "--1", "-+1", "4MiB", "1..5", "9223372036854775808"] {
        assert!(values::quantity(text).unwrap_err().contains("4Mi"), "{text}");
    }
}
