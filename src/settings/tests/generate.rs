use super::super::gather::parse_with;
use super::*;
use std::ffi::OsString;

fn text_of(line: &str) -> UsageError {
    let args = ["bindd"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    parse_with(args, &|_| None).unwrap_err()
}

#[test]
fn the_version_is_printed_alone_as_by_daprd() {
    assert_eq!(text_of("--version").text, env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_and_the_manual_page_name_the_flags() {
    for (line, expected) in [
        ("completions bash", "--app-protocol"),
        ("completions zsh", "--app-protocol"),
        ("completions fish", "app-protocol"),
        ("man", "app\\-protocol"),
    ] {
        let error = text_of(line);
        assert!(error.code == 0 && error.text.contains(expected), "{line}");
    }
    assert_eq!(text_of("completions none").code, 2);
}

#[test]
fn each_flag_of_the_help_has_a_heading() {
    let help = text_of("--help").text;
    for heading in ["App:", "HTTP API and metrics:", "Limits:", "Logs:", "Health of the app:", "Other modes:"] {
        assert!(help.lines().any(|line| line == heading), "{heading}");
    }
    // The names of the flags below the heading `Options`, which clap gives to flags without one.
    let (mut heading, mut general) = ("", Vec::new());
    for line in help.lines() {
        match line.strip_suffix(':').filter(|text| !text.starts_with(' ')) {
            Some(text) => heading = text,
            None if heading == "Options" && line.trim_start().starts_with('-') => general.push(line.trim()),
            None => {}
        }
    }
    assert_eq!(general, ["-h, --help", "-V, --version"]);
}
