//! Flags of daprd that mean nothing here, accepted so that its command lines start bindd unchanged.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

/// What a flag expects after its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Value,
    Switch,
}

/// Names as daprd spells them, and what follows.
const UNUSED: [(&str, Expects); 34] = [
    ("actors-disseminate-timeout", Expects::Value),
    ("actors-service", Expects::Value),
    ("app-health-check-path", Expects::Value),
    ("app-health-probe-interval", Expects::Value),
    ("app-health-probe-timeout", Expects::Value),
    ("app-health-threshold", Expects::Value),
    ("app-max-concurrency", Expects::Value),
    ("config", Expects::Value),
    ("control-plane-address", Expects::Value),
    ("control-plane-namespace", Expects::Value),
    ("control-plane-trust-domain", Expects::Value),
    ("dapr-block-shutdown-duration", Expects::Value),
    ("dapr-grpc-port", Expects::Value),
    ("dapr-internal-grpc-listen-address", Expects::Value),
    ("dapr-internal-grpc-port", Expects::Value),
    ("dapr-public-listen-address", Expects::Value),
    ("dapr-public-port", Expects::Value),
    ("disable-builtin-k8s-secret-store", Expects::Switch),
    ("disable-init-endpoints", Expects::Value),
    ("enable-api-logging", Expects::Switch),
    ("enable-app-health-check", Expects::Switch),
    ("enable-mtls", Expects::Switch),
    ("enable-profiling", Expects::Switch),
    ("hot-reload-reconcile-interval", Expects::Value),
    ("log-file", Expects::Value),
    ("mode", Expects::Value),
    ("placement-host-address", Expects::Value),
    ("profile-port", Expects::Value),
    ("reminders-service", Expects::Value),
    ("scheduler-host-address", Expects::Value),
    ("scheduler-job-streams", Expects::Value),
    ("sentry-address", Expects::Value),
    ("sentry-request-jwt-audiences", Expects::Value),
    ("unix-domain-socket", Expects::Value),
];

/// The arguments to add to a command.
pub(super) fn args() -> impl Iterator<Item = Arg> {
    UNUSED.into_iter().map(|(name, expects)| {
        let arg = Arg::new(name)
            .long(name)
            .action(ArgAction::Append)
            .help_heading("Flags of daprd without effect here")
            .hide_short_help(true);
        match expects {
            Expects::Value => arg.num_args(1).allow_negative_numbers(true),
            Expects::Switch => {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
            }
        }
    })
}

/// The switches among them.
pub(super) fn is_switch(name: &str) -> bool {
    UNUSED.contains(&(name, Expects::Switch))
}

/// Those that were given, as the user writes them.
pub(super) fn given(matches: &ArgMatches) -> Vec<String> {
    UNUSED
        .iter()
        .filter(|(name, _)| matches.value_source(name) == Some(ValueSource::CommandLine))
        .map(|(name, _)| format!("--{name}"))
        .collect()
}
