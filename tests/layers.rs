//! The laws of the house: no module names a floor at or above its own, guest crates stay in their rooms, files stay
//! short and carry names of the field.

#![expect(clippy::unwrap_used, reason = "how a test says that something is broken")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms, bottom up. Rooms of one floor never see each other.
const FLOORS: [(&str, u8); 21] = [
    ("domain", 0),
    ("aggregation", 1),
    ("manifest", 1),
    ("tasks", 1),
    ("telemetry", 1),
    ("testing", 2),
    ("resilience", 2),
    ("consumer", 3),
    ("producer", 3),
    ("aws", 3),
    ("app", 3),
    ("embedded", 3),
    ("bindings", 4),
    ("runtime", 5),
    ("http", 6),
    ("settings", 7),
    ("daemon", 8),
    ("demo", 10),
    ("dev", 9),
    ("cli", 9),
    ("program", 11),
];

/// What `main.rs` and `lib.rs` may name: everything.
const ROOF: u8 = 12;

/// Crates (and calls that act like one), and the only places that may name them.
const GUESTS: [(&str, &[&str]); 15] = [
    ("aws_", &["aws/", "bindings/", "cli/", "embedded/"]),
    ("axum", &["http/", "embedded/", "demo/"]),
    ("tower", &["http/", "embedded/", "demo/"]),
    ("hyper", &["app/", "http/", "embedded/", "demo/", "testing/backend/"]),
    ("hyper_util", &["app/", "http/", "embedded/", "demo/", "testing/backend/"]),
    ("ciborium", &["embedded/"]),
    ("serde_yaml", &["manifest/"]),
    ("clap", &["settings/"]),
    ("ferrokinesis", &["embedded/"]),
    ("dynoxide", &["embedded/"]),
    ("rustix", &["embedded/", "dev", "demo", "daemon/", "http/"]),
    ("prometheus_client", &["telemetry/"]),
    ("prost", &["aggregation/"]),
    ("tracing_subscriber", &["telemetry/"]),
    ("JoinSet", &["tasks/"]),
];

const LONGEST_FILE: usize = 400;
/// Arguments, runtime and exit code need no more.
const LONGEST_MAIN: usize = 60;
const NO_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "core"];

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The room of a file: `http/routes.rs` is of `http`, `daemon.rs` of `daemon`; `main.rs` and `lib.rs` are of none.
fn room_of(file: &str) -> Option<&str> {
    let first = file.split('/').next().unwrap_or(file);
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "main" && room != "lib").then_some(room)
}

/// The text without comments, so that documentation may speak of any room. Strings stay: a `//` in one only hides
/// the rest of its line.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Each place where a word begins with `name`, as the rest of the text after it.
fn after<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(name).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let is_word = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        is_word.then(|| &text[at + name.len()..])
    })
}

fn ident(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())]
}

/// The rooms that a text names by `crate::…`, grouped imports included.
fn rooms_named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for rest in after(text, "crate::") {
        match rest.trim_start().strip_prefix('{') {
            Some(group) => rooms.extend(top_of_group(group)),
            None => rooms.push(ident(rest).to_owned()),
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

/// First word of each item of a group, nested groups skipped: `{a, b::{c, d}, e::f}` gives a, b, e.
fn top_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut items, mut start) = (1_usize, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (c == ',' && depth == 1) {
            items.push(ident(&group[start..at]).to_owned());
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    items
}

fn trespasses(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    let room = room_of(file);
    let own = room.map_or(Some(ROOF), floor_of);
    let Some(own) = own else {
        return vec![format!("{file}: its room has no floor; add it to the table or choose another room")];
    };
    for named in rooms_named(&code) {
        let is_own = room == Some(named.as_str());
        match floor_of(&named) {
            _ if is_own => found.push(format!("{file} -> {named}: inside a room, write super::")),
            Some(floor) if floor >= own => found.push(format!("{file} -> {named}: not a lower floor")),
            Some(_) | None => {}
        }
        if named == "testing" && room.is_some() && !is_test(file, text) {
            found.push(format!("{file} -> testing: in-memory ports are for tests"));
        }
    }
    found
}

/// Whether a file is, or ends in, tests.
fn is_test(file: &str, text: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/") || text.contains("#[cfg(test)]")
}

fn guests_out_of_place(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let at_home = |rooms: &[&str]| rooms.iter().any(|room| file.starts_with(room));
    let mut found = Vec::new();
    for (guest, rooms) in GUESTS {
        let named = after(&code, guest).any(|rest| match guest {
            "aws_" | "JoinSet" => true,
            _ => rest.starts_with("::") || rest.starts_with("!("),
        });
        if named && !at_home(rooms) {
            found.push(format!("{file} names {}: only {} may", guest.trim_end_matches('_'), rooms.join(", ")));
        }
    }
    found
}

fn untidy(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    let most = if file == "main.rs" { LONGEST_MAIN } else { LONGEST_FILE };
    if lines > most {
        found.push(format!("{file}: {lines} lines, {most} is the most"));
    }
    for part in file.split('/') {
        if NO_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part)) {
            found.push(format!("{file}: `{part}` says nothing; name the thing"));
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Every source file below a folder of the crate, with its path inside it.
fn house(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let named = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    let files: Vec<_> = sources(&root).iter().map(|path| (named(path), fs::read_to_string(path).unwrap())).collect();
    assert!(!files.is_empty(), "no sources in {folder}");
    files
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_module_names_a_floor_at_or_above_its_own() {
    report(&house("src").iter().flat_map(|(file, text)| trespasses(file, text)).collect::<Vec<_>>());
}

#[test]
fn guest_crates_stay_in_their_rooms() {
    report(&house("src").iter().flat_map(|(file, text)| guests_out_of_place(file, text)).collect::<Vec<_>>());
}

#[test]
fn files_are_short_and_named_by_the_field() {
    let faults = ["src", "tests"].iter().flat_map(|folder| house(folder));
    report(&faults.flat_map(|(file, text)| untidy(&file, &text)).collect::<Vec<_>>());
}

#[test]
fn trespasses_are_seen() {
    for (file, text, expected) in [
        ("domain/name.rs", "use crate::aws::Client;", 1),
        ("consumer/worker.rs", "use crate::{domain::Stop, aws::{Client, Other}, resilience::Retry};", 1),
        ("consumer/worker.rs", "use crate::{\n    domain::{Lease, Stop},\n    app,\n};", 1),
        ("consumer/worker.rs", "let x = crate::http::serve();", 1),
        ("http/server.rs", "use crate::http::routes;", 1),
        ("http/server.rs", "use crate::daemon::Daemon;", 1),
        ("http/server.rs", "use crate::testing::MemoryStream;", 1),
        ("attic/box.rs", "", 1),
        ("daemon.rs", "use crate::{settings::Settings, http};", 0),
        ("settings/gather.rs", "use crate::daemon::Daemon;", 1),
        ("http/server.rs", "/// See [`crate::daemon`].\nuse crate::runtime::Host; use super::routes;", 0),
        ("http/server.rs", "use crate::testing::MemoryStream;\n#[cfg(test)]\nmod tests {}", 0),
        ("main.rs", "use bindd::daemon;", 0),
    ] {
        assert_eq!(trespasses(file, text).len(), expected, "{file}: {text}");
    }
}

#[test]
fn strayed_guests_are_seen() {
    for (file, text, expected) in [
        ("http/server.rs", "use aws_sdk_kinesis::Client;", 1),
        ("runtime/host.rs", "fn f(r: axum::Router) {}", 1),
        ("runtime/host.rs", "let yaml = serde_yaml::from_str(text);", 1),
        ("daemon.rs", "use clap::Parser; use tokio::task::JoinSet;", 2),
        ("bindings/kinesis/spec.rs", "use hyper::Request;", 1),
        ("aws/client.rs", "use aws_sdk_kinesis::Client;", 0),
        ("bindings/kinesis/spec.rs", "let my_aws_client = 1; // axum::Router", 0),
        ("http/server.rs", "use axum::Router; use tower::Service;", 0),
    ] {
        assert_eq!(guests_out_of_place(file, text).len(), expected, "{file}: {text}");
    }
}

#[test]
fn untidy_files_are_seen() {
    assert_eq!(untidy("http/util.rs", "").len(), 1);
    assert_eq!(untidy("common/server.rs", "").len(), 1);
    assert_eq!(untidy("http/server.rs", &"x\n".repeat(LONGEST_FILE + 1)).len(), 1);
    assert!(untidy("http/server.rs", &"x\n".repeat(LONGEST_FILE)).is_empty());
    assert_eq!(untidy("main.rs", &"x\n".repeat(LONGEST_MAIN + 1)).len(), 1);
}
