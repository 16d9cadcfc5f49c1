//! The flags of `bindd try`, and their settings. The doc comments of the flags are the texts of `--help`.

use super::environment::{Environment, or_variable, switch as switched};
use super::file_commands::{CheckSettings, TrySettings};
use super::model::UsageError;
use super::values::switch;
use clap::{ArgAction, Args};
use std::path::PathBuf;

pub(super) const TRY_EXAMPLES: &str = "\
Examples:
  bindd try --file orders.yaml < records.ndjson
  bindd try --resources-path ./components --component orders --metadata partitionKey=c-17 < records.ndjson
  bindd try --file orders.yaml --input --objects --json < records.ndjson

Each line of the standard input is one record. Exits with 0 if no record failed, 1 if one did or the file has faults, 2
for wrong usage.";

#[derive(Debug, Args)]
pub(super) struct TryFlags {
    /// Folder or file with components, as that of the sidecar. Repeat the flag or separate paths with commas.
    #[arg(long, value_name = "PATH", value_delimiter = ',', action = ArgAction::Append, required_unless_present = "file")]
    resources_path: Vec<PathBuf>,
    /// One file with components, instead of --resources-path.
    #[arg(long, value_name = "FILE", conflicts_with = "resources_path")]
    file: Option<PathBuf>,
    /// Component to try [default: the only one that shapes records].
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// Take the lines for records that the input reads [default: requests to the output, if there is one].
    #[arg(long)]
    input: bool,
    /// Each line is an object: the field data or dataBase64, and for an output metadata, for an input partitionKey, shardId,
    /// sequenceNumber and approximateArrivalTimestamp.
    #[arg(long)]
    objects: bool,
    /// Metadata of each request to the output. Repeat the flag for more.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, conflicts_with = "input")]
    metadata: Vec<(String, String)>,
    /// Only components that this app may use, by their scopes [default: all components].
    #[arg(long, value_name = "NAME")]
    app_id: Option<String>,
    /// Only components that a sidecar in this namespace loads [default: the environment variable NAMESPACE].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Treat faults as daprd does, as a sidecar with this flag would
    /// [default: the environment variable BINDD_DAPR_COMPAT, else false].
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "true|false")]
    dapr_compat: Option<bool>,
    /// Print one JSON object for each line.
    #[arg(long)]
    json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a name and a value, such as partitionKey=c-17".to_owned()),
    }
}

pub(super) fn settings(flags: TryFlags, environment: Environment<'_>) -> Result<TrySettings, UsageError> {
    let namespace = or_variable(flags.namespace, environment, "NAMESPACE")?;
    let files = CheckSettings {
        paths: flags.file.map_or(flags.resources_path, |file| vec![file]),
        app_id: flags.app_id,
        namespace,
        config_paths: Vec::new(),
        dapr_compat: switched(flags.dapr_compat, environment, "BINDD_DAPR_COMPAT")?,
        json: flags.json,
    };
    Ok(TrySettings {
        files,
        component: flags.component,
        as_input: flags.input,
        has_objects: flags.objects,
        metadata: flags.metadata,
    })
}

#[cfg(test)]
mod tests {
    use super::super::gather::parse_with;
    use super::super::{Command, TrySettings};
    use super::*;

    fn parse(line: &str) -> Result<TrySettings, UsageError> {
        let args = ["bindd", "try"].into_iter().chain(line.split_whitespace()).map(Into::into);
        let environment = |name: &str| (name == "NAMESPACE").then(|| "shops".into());
        match parse_with(args, &environment)? {
            Command::Try(settings) => Ok(settings),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_file_stands_for_the_folders() {
        let settings = parse("--file a.yaml --metadata a=1 --metadata b=x=y --objects --json").unwrap();
        assert_eq!(settings.files.paths, [PathBuf::from("a.yaml")]);
        assert_eq!(
            settings.metadata,
            [("a", "1"), ("b", "x=y")].map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert_eq!(settings.files.namespace.as_deref(), Some("shops"));
        assert!(settings.has_objects && settings.files.json && !settings.as_input);
        let settings = parse("--resources-path a,b --component orders --input --namespace=").unwrap();
        assert_eq!(settings.files.paths, ["a", "b"].map(PathBuf::from));
        assert_eq!((settings.component.as_deref(), settings.files.namespace), (Some("orders"), None));
        assert!(settings.as_input);
    }

    #[test]
    fn wrong_flags_are_refused() {
        for line in ["", "--file a --resources-path b", "--file a --metadata =1", "--file a --input --metadata a=1"] {
            assert_eq!(parse(line).unwrap_err().code, 2, "{line}");
        }
    }
}
