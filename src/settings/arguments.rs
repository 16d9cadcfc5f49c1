//! The command line in the spellings of this parser, without what daprd would pass over.

use super::{flags, values};
use std::ffi::OsString;

/// A command line that is ready for the parser.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// With the program's name first.
    pub(super) args: Vec<OsString>,
    /// Words that were left out, as written.
    pub(super) ignored: Vec<String>,
}

/// Turns Go's spellings into ours: `-flag` into `--flag`, and `--switch false` into `--switch=false`. Leaves out the name of
/// daprd's program, with which commands made for its image begin (`./daprd --app-id …`); see [`is_program`].
pub(super) fn normalised(args: impl Iterator<Item = OsString>) -> Arguments {
    let mut args = args.peekable();
    let mut out: Vec<OsString> = args.next().into_iter().collect();
    let mut ignored = Vec::new();
    let value_flags = flags::value_flags();
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
            let is_word = !std::mem::take(&mut is_value) && !has_command;
            has_command |= is_word && flags::is_command(text);
            if is_word && !has_command && is_program(text, later) {
                ignored.push(text.to_owned());
            } else {
                out.push(arg.clone());
            }
            continue;
        }
        let long = single_dash(text).unwrap_or_else(|| text.to_owned());
        let name = long.strip_prefix("--");
        is_value = name.is_some_and(|name| value_flags.iter().any(|flag| flag == name));
        match later {
            [value, after @ ..] if name.is_some_and(flags::is_switch) && is_switch_value(value) => {
                out.push(format!("{long}={}", value.to_string_lossy()).into());
                rest = after;
            }
            _ => out.push(long.into()),
        }
    }
    Arguments { args: out, ignored }
}

fn single_dash(text: &str) -> Option<String> {
    let name = text.strip_prefix('-')?;
    (name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase())).then(|| format!("--{name}"))
}

fn is_switch_value(value: &OsString) -> bool {
    value.to_str().is_some_and(|value| values::switch(value).is_ok())
}

/// Whether a word that belongs to no flag names a program: `daprd` in any folder, or any other path that has flags behind
/// it. daprd passes over all such words; here the others are errors, since they may be a mistyped command or a folder
/// whose `--resources-path` was forgotten.
fn is_program(word: &str, later: &[OsString]) -> bool {
    let has_flags = || later.iter().take_while(|arg| *arg != "--").any(|arg| arg.as_encoded_bytes().starts_with(b"-"));
    word.rsplit('/').next() == Some("daprd") || (word.contains('/') && has_flags())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (String, Vec<String>) {
        let read = normalised(format!("bindd {line}").split_whitespace().map(OsString::from));
        let args: Vec<_> = read.args.iter().map(|arg| arg.to_str().unwrap()).collect();
        (args[1..].join(" "), read.ignored)
    }

    #[test]
    fn the_name_of_a_program_is_left_out() {
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
