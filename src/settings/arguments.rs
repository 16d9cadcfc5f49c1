//! Normalizes a command line that was written for daprd, whose flags are parsed by Go.

use super::{flags, values};
use clap::Arg;
use std::ffi::OsString;

/// A command line for the argument parser.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// With the program's name first.
    pub(super) args: Vec<OsString>,
    /// Words that were removed.
    pub(super) ignored: Vec<String>,
}

/// Turns `-flag` into `--flag` and `--switch false` into `--switch=false`. Removes the program name of daprd, which commands
/// for its container image begin with (`./daprd --app-id …`); see [`is_program`].
pub(super) fn normalize(mut args: impl Iterator<Item = OsString>) -> Arguments {
    let mut out: Vec<OsString> = args.next().into_iter().collect();
    let mut ignored = Vec::new();
    let command = flags::command();
    let is_subcommand = |word: &str| command.find_subcommand(word).is_some();
    let flag =
        |name: Option<&str>| command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| name == Some(long)));
    let (mut is_value, mut has_command) = (false, false);
    let rest: Vec<OsString> = args.collect();
    let mut rest = rest.as_slice();
    while let [arg, later @ ..] = rest {
        rest = later;
        if arg == "--" {
            out.push(arg.clone());
            out.extend(later.iter().cloned());
            break;
        }
        let Some(text) = arg.to_str() else {
            out.push(arg.clone());
            is_value = false;
            continue;
        };
        if !text.starts_with('-') {
            let is_free_word = !std::mem::take(&mut is_value) && !has_command;
            has_command |= is_free_word && is_subcommand(text);
            if is_free_word && !has_command && is_program(text, later) {
                ignored.push(text.to_owned());
            } else {
                out.push(arg.clone());
            }
            continue;
        }
        let long = double_dash(text).unwrap_or_else(|| text.to_owned());
        let flag = flag(long.strip_prefix("--"));
        is_value = flag.is_some_and(|flag| flag.get_action().takes_values() && !is_switch(flag));
        match later {
            [value, after @ ..] if flag.is_some_and(is_switch) && is_switch_value(value) => {
                out.push(format!("{long}={}", value.to_string_lossy()).into());
                rest = after;
            }
            _ => out.push(long.into()),
        }
    }
    Arguments { args: out, ignored }
}

fn double_dash(text: &str) -> Option<String> {
    let name = text.strip_prefix('-')?;
    (name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase())).then(|| format!("--{name}"))
}

/// A boolean flag is true without a value; its value needs an equals sign.
fn is_switch(flag: &Arg) -> bool {
    flag.is_require_equals_set()
}

fn is_switch_value(value: &OsString) -> bool {
    value.to_str().is_some_and(|value| values::switch(value).is_ok())
}

/// Whether a word that belongs to no flag names a program: `daprd` in any folder, or any other path that is followed by
/// flags. daprd ignores all words that belong to no flag. Here the others are errors, since they may be a mistyped command
/// or a folder without its `--resources-path`.
fn is_program(word: &str, later: &[OsString]) -> bool {
    let has_flags = || later.iter().take_while(|arg| *arg != "--").any(|arg| arg.as_encoded_bytes().starts_with(b"-"));
    word.rsplit('/').next() == Some("daprd") || (word.contains('/') && has_flags())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (String, Vec<String>) {
        let read = normalize(format!("bindd {line}").split_whitespace().map(OsString::from));
        let args: Vec<_> = read.args.iter().map(|arg| arg.to_str().unwrap()).collect();
        (args[1..].join(" "), read.ignored)
    }

    #[test]
    fn the_name_of_a_program_is_removed() {
        for (line, ignored) in [
            ("./daprd --app-id x", "./daprd"),
            ("/daprd -app-id x", "/daprd"),
            ("/usr/bin/daprd --app-id=x", "/usr/bin/daprd"),
            ("daprd --app-id x", "daprd"),
            ("--app-id x daprd", "daprd"),
            ("--app-id x ./daprd", "./daprd"),
            ("./bin/sidecar --app-id x", "./bin/sidecar"),
        ] {
            let (args, words) = read(line);
            assert!(args == "--app-id x" || args == "--app-id=x", "{line}: {args}");
            assert_eq!(words, [ignored], "{line}");
        }
        assert_eq!(read("daprd"), (String::new(), vec!["daprd".to_owned()]));
        let (args, words) = read("--app-id x ./daprd --enable-mtls /daprd --app-port 1");
        assert_eq!((args.as_str(), words.len()), ("--app-id x --enable-mtls --app-port 1", 2));
        assert_eq!(read("./daprd check --resources-path r").0, "check --resources-path r");
    }

    #[test]
    fn values_commands_and_other_words_are_kept() {
        for line in [
            "--resources-path ./components --app-id daprd",
            "--resources-path /daprd",
            "--config ./daprd --app-id x",
            "check --resources-path ./daprd",
            "check ./components --json",
            "chekc --resources-path r",
            "./components",
            "--app-id x ./components",
            "x --app-id y",
            "dev --app-port 1 -- ./daprd --x",
            "-- ./daprd --app-id x",
        ] {
            assert_eq!(read(line), (line.to_owned(), vec![]), "{line}");
        }
    }

    #[test]
    fn spellings_of_go_are_read() {
        for (line, expected) in [
            ("-app-id x", "--app-id x"),
            ("--enable-mtls false --app-id x", "--enable-mtls=false --app-id x"),
            ("-enable-mtls true", "--enable-mtls=true"),
            ("--max-body-size -1", "--max-body-size -1"),
            ("-h", "-h"),
        ] {
            assert_eq!(read(line), (expected.to_owned(), vec![]), "{line}");
        }
    }
}
