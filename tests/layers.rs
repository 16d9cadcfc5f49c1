//! The architecture, read from the paths that the sources name: which module may use which, no cycle between the files of
//! a module, external crates only where they belong, short files with names that say what is inside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each module and every module that it uses, lowest layer first. A module may only use modules above it in this
/// list, so there is no cycle between modules.
const USES: [(&str, &[&str]); 27] = [
    ("aggregation", &[]),
    ("domain", &[]),
    ("jq", &[]),
    ("protocol", &[]),
    ("profiling", &[]),
    ("telemetry", &[]),
    ("event_pattern", &["domain"]),
    ("gzip", &["domain"]),
    ("manifest", &["domain"]),
    ("policies", &["domain", "manifest"]),
    ("resilience", &["domain"]),
    ("tasks", &["domain"]),
    ("app", &["domain", "gzip", "protocol", "resilience", "tasks", "telemetry"]),
    ("aws", &["aggregation", "domain", "manifest", "resilience", "tasks", "telemetry"]),
    ("consumer", &["domain", "resilience", "tasks", "telemetry"]),
    ("embedded", &["domain", "tasks"]),
    ("producer", &["aggregation", "domain", "resilience", "tasks", "telemetry"]),
    ("runtime", &["domain", "policies", "resilience", "tasks"]),
    (
        "bindings",
        &[
            "aggregation",
            "aws",
            "consumer",
            "domain",
            "event_pattern",
            "gzip",
            "jq",
            "manifest",
            "producer",
            "protocol",
            "resilience",
            "telemetry",
        ],
    ),
    ("http", &["domain", "profiling", "runtime", "tasks", "telemetry"]),
    ("grpc", &["domain", "http", "protocol", "runtime", "telemetry"]),
    ("settings", &["bindings", "domain", "embedded", "http", "manifest"]),
    ("cli", &["aws", "bindings", "domain", "manifest", "policies", "settings"]),
    (
        "daemon",
        &[
            "app",
            "bindings",
            "domain",
            "grpc",
            "http",
            "manifest",
            "policies",
            "runtime",
            "settings",
            "tasks",
            "telemetry",
        ],
    ),
    ("dev", &["aws", "bindings", "daemon", "domain", "embedded", "settings"]),
    ("demo", &["daemon", "dev", "domain", "embedded", "settings", "tasks", "telemetry"]),
    ("program", &["cli", "daemon", "demo", "dev", "domain", "http", "settings", "telemetry"]),
];

/// Layers of that list: the longest chain of modules that use each other.
const LAYERS: usize = 10;

/// Crates (or types that act like one) and the only places that may name them.
const CRATES: [(&str, &[&str]); 27] = [
    ("aws_", &["aws/", "bindings/", "cli/", "embedded/"]),
    ("axum::", &["http/", "grpc/", "embedded/", "demo/"]),
    ("tower::", &["bindings/http/", "bindings/pluggable/", "app/", "http/", "grpc/", "embedded/", "demo/"]),
    (
        "hyper::",
        &["bindings/http/", "app/", "http/", "grpc/", "embedded/", "demo/", "telemetry/traces/", "testing/backend/"],
    ),
    (
        "hyper_util::",
        &[
            "bindings/http/",
            "bindings/pluggable/",
            "app/",
            "http/",
            "embedded/",
            "demo/",
            "telemetry/traces/",
            "testing/backend/",
        ],
    ),
    ("h2::", &["app/"]),
    ("jaq_core::", &["jq/"]),
    ("jaq_std::", &["jq/"]),
    ("regex_lite::", &["jq/"]),
    ("rustls::", &["app/", "bindings/http/", "telemetry/traces/"]),
    ("tokio_rustls::", &["app/"]),
    ("ciborium::", &["embedded/"]),
    ("notify::", &["manifest/"]),
    ("serde_yaml::", &["manifest/"]),
    ("clap::", &["settings/"]),
    ("ferrokinesis::", &["embedded/"]),
    ("dynoxide::", &["embedded/"]),
    ("rustix::", &["bindings/localstorage/", "embedded/", "dev/", "demo/", "daemon/", "http/", "manifest/"]),
    ("prometheus_client::", &["telemetry/"]),
    ("prost::", &["aggregation/", "app/", "grpc/", "profiling/", "telemetry/traces/"]),
    ("prost_types::", &["grpc/"]),
    ("backtrace::", &["profiling/"]),
    ("rpprof::", &["profiling/"]),
    ("pprof_alloc::", &["main.rs", "profiling/"]),
    ("tonic", &["app/", "bindings/pluggable/", "grpc/"]),
    ("tracing_subscriber::", &["telemetry/"]),
    ("JoinSet", &["tasks/"]),
];

const MAX_FILE_LINES: usize = 400;
/// Arguments, runtime and exit code need no more.
const MAX_MAIN_LINES: usize = 60;
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "core"];

type Sources = BTreeMap<String, String>;

/// Generated code is as long as it is.
fn is_generated(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("protocol/generated"))
}

/// The files below a folder of the crate by their path in it, such as `http/server.rs`.
fn sources(folder: &str) -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut folders, mut files) = (vec![root.clone()], Sources::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_generated(&path) {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// The production files below `src`, without comments and inline tests: their paths are what this test reads.
fn production() -> Sources {
    let is_production = |file: &String| !file.contains("/tests/") && !file.starts_with("testing/");
    sources("src").into_iter().filter(|(file, _)| is_production(file)).map(|(file, text)| (file, code(&text))).collect()
}

fn code(text: &str) -> String {
    let lines = text.split("\n#[cfg(test)]").next().unwrap_or_default().lines();
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_in_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Each place where a word begins with `start`, as the text from there.
fn words<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    let begins = |at: &usize| !text[..*at].ends_with(|letter| is_in_word(letter) || letter == ':');
    text.match_indices(start).map(|(at, _)| at).filter(begins).map(|at| &text[at..])
}

/// The paths of a use tree, `a::{b, c::d}` as `a::b` and `a::c::d`; what follows the tree is left.
fn paths<'a>(text: &mut &'a str, before: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut path = before.to_vec();
    loop {
        *text = text.trim_start();
        if let Some(group) = text.strip_prefix('{') {
            *text = group;
            let mut all = Vec::new();
            while !text.is_empty() && !text.starts_with('}') {
                all.extend(paths(text, &path));
                *text = text.trim_start().trim_start_matches(|letter: char| letter != ',' && letter != '}');
                *text = text.strip_prefix(',').unwrap_or(text).trim_start();
            }
            *text = text.strip_prefix('}').unwrap_or(text);
            return all;
        }
        let end = text.find(|letter| !is_in_word(letter)).unwrap_or(text.len());
        path.push(&text[..end]);
        *text = &text[end..];
        match text.strip_prefix("::") {
            Some(rest) => *text = rest,
            None => return vec![path],
        }
    }
}

/// Every path in a file that begins with `crate` or `super`, in full from the crate's root.
fn named_in(file: &str, code: &str) -> Vec<Vec<String>> {
    let mut own: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    own.retain(|part| !["mod", "lib", "main"].contains(part));
    let roots = ["crate::", "super::"];
    let all = roots.iter().flat_map(|root| words(code, root)).flat_map(|mut text| paths(&mut text, &[]));
    let absolute = all.map(|path| {
        let ups = path.iter().take_while(|part| **part == "super").count();
        let base = if ups == 0 { &[] } else { &own[..own.len().saturating_sub(ups)] };
        base.iter().chain(&path[ups.max(1)..]).map(|part| (*part).to_owned()).collect()
    });
    absolute.collect()
}

/// The file that a path leads to, through the re-exports of `mod.rs` files; none if a `mod.rs` holds the item itself.
fn file_of(files: &Sources, path: &[String]) -> Option<String> {
    for depth in 1..=path.len() {
        let module = path[..depth].join("/");
        if files.contains_key(&format!("{module}.rs")) {
            return Some(format!("{module}.rs"));
        }
        let (parent, name) = (format!("{module}/mod.rs"), path.get(depth)?);
        let Some(text) = files.get(&parent) else { continue };
        if files.contains_key(&format!("{module}/{name}.rs")) {
            continue;
        }
        let exported = words(text, "use ").flat_map(|text| paths(&mut &text["use ".len()..], &[]));
        if let Some(exported) = exported.into_iter().find(|exported| exported.last() == Some(&name.as_str())) {
            let target: Vec<String> =
                path[..depth].iter().map(String::as_str).chain(exported).map(str::to_owned).collect();
            return file_of(files, &target);
        }
    }
    None
}

/// Takes away what uses nothing that is left, round by round: the rounds are the layers. What remains is in a cycle or
/// uses one; of that, what others use is the cycle.
fn layers(mut uses: BTreeMap<String, BTreeSet<String>>) -> (usize, Vec<String>) {
    let mut rounds = 0;
    loop {
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        uses.retain(|_, used| !used.is_disjoint(&left));
        if uses.len() == left.len() {
            break;
        }
        rounds += 1;
    }
    loop {
        let (before, used): (_, BTreeSet<String>) = (uses.len(), uses.values().flatten().cloned().collect());
        uses.retain(|user, _| used.contains(user));
        if uses.len() == before {
            break;
        }
    }
    let left: BTreeSet<String> = uses.keys().cloned().collect();
    let shown =
        uses.iter().map(|(user, used)| format!("{user} uses {:?}", used.intersection(&left).collect::<Vec<_>>()));
    (rounds, shown.collect())
}

fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

#[test]
fn modules_use_what_the_list_says() {
    let mut measured: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in production() {
        let named = named_in(&file, &code).into_iter().filter_map(|path| path.first().cloned());
        let module = module_of(&file);
        measured.entry(module.to_owned()).or_default().extend(named.filter(|named| named != module));
    }
    measured.retain(|module, _| module != "main" && module != "lib");
    let listed: BTreeMap<String, BTreeSet<String>> = USES
        .iter()
        .map(|(module, used)| ((*module).to_owned(), used.iter().map(|used| (*used).to_owned()).collect()))
        .collect();
    assert_eq!(measured, listed, "\nleft: as the sources are; right: as USES in this file has it");
    assert_eq!(layers(measured), (LAYERS, vec![]));
}

#[test]
fn files_of_a_module_form_no_cycle() {
    let files = production();
    let uses = files.iter().map(|(file, code)| {
        let used = named_in(file, code).into_iter().filter_map(|path| file_of(&files, &path));
        (file.clone(), used.filter(|used| module_of(used) == module_of(file) && used != file).collect())
    });
    let (_, cycles) = layers(uses.collect());
    assert!(cycles.is_empty(), "files use each other in a cycle:\n{}", cycles.join("\n"));
}

#[test]
fn external_crates_stay_in_their_modules() {
    for (file, code) in production() {
        for (name, places) in CRATES {
            let is_named = words(&code, name).next().is_some();
            assert!(
                !is_named || places.iter().any(|place| file.starts_with(place)),
                "{file} names {name}: {places:?} may"
            );
        }
    }
}

#[test]
fn files_are_short_and_their_names_say_what_is_inside() {
    for (file, text) in ["src", "tests", "benches", "examples"].into_iter().flat_map(sources) {
        let (lines, max) = (text.lines().count(), if file == "main.rs" { MAX_MAIN_LINES } else { MAX_FILE_LINES });
        assert!(lines <= max, "{file} has {lines} lines, {max} is the limit");
        let empty = file.split('/').find(|part| EMPTY_NAMES.contains(&part.trim_end_matches(".rs")));
        assert!(empty.is_none(), "{file}: the name {empty:?} says nothing");
    }
}

#[test]
fn paths_are_read_as_rust_reads_them() {
    let code = "use crate::{domain::{Lease, Stop}, app};\nuse super::{row::Row, table};\nlet x = crate::http::serve();";
    let named: Vec<String> = named_in("aws/lease_table/store.rs", code).iter().map(|path| path.join("::")).collect();
    let expected = [
        "domain::Lease",
        "domain::Stop",
        "app",
        "http::serve",
        "aws::lease_table::row::Row",
        "aws::lease_table::table",
    ];
    assert_eq!(named, expected);
    let files: Sources = [("a/mod.rs", "mod b;\npub use b::{c::D, E};"), ("a/b.rs", ""), ("f.rs", "")]
        .map(|(file, text)| (file.to_owned(), text.to_owned()))
        .into();
    let file = |path: &str| file_of(&files, &path.split("::").map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(
        [file("a::D"), file("a::b"), file("f"), file("a::G")],
        [Some("a/b.rs".into()), Some("a/b.rs".into()), Some("f.rs".into()), None]
    );
    let tied = [("x", vec!["y"]), ("y", vec!["x"]), ("z", vec![])];
    let uses = tied.map(|(file, used)| (file.to_owned(), used.into_iter().map(str::to_owned).collect()));
    assert_eq!(layers(uses.into()).1.len(), 2);
}
