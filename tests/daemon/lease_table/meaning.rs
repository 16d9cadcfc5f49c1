//! What a write to a lease row means, whether it is written with expressions (bindd) or with the legacy parameters
//! `Expected` and `AttributeUpdates` (the KCL).

use serde_json::Value;
use std::collections::BTreeSet;

/// Lines such as `if leaseCounter = 7 (N)`, `put leaseOwner = w1`, `delete checkpointOwner`, `add leaseCounter 1 (N)`.
pub(super) type Meaning = BTreeSet<String>;

pub(super) fn meaning(request: &Value) -> Meaning {
    let mut lines = Meaning::new();
    for (name, value) in entries(&request["Key"]) {
        lines.insert(format!("key {name} = {}", text(value)));
    }
    for (name, value) in entries(&request["Item"]) {
        lines.insert(format!("put {name} = {}", text(value)));
    }
    legacy(request, &mut lines);
    expressions(request, &mut lines);
    lines
}

/// What only the KCL's request has (`-`) and what only ours has (`+`).
pub(super) fn differences(kcl: &Value, ours: &Value) -> Vec<String> {
    let (kcl, ours) = (meaning(kcl), meaning(ours));
    let lacking = kcl.difference(&ours).map(|line| format!("- {line}"));
    let more = ours.difference(&kcl).map(|line| format!("+ {line}"));
    lacking.chain(more).collect()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    let (kind, inner) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), inner) {
        ("S", Value::String(text)) => text.clone(),
        ("SS", Value::Array(names)) => {
            let mut names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
            names.sort_unstable();
            format!("{} (SS)", names.join("+"))
        }
        (kind, Value::String(text)) => format!("{text} ({kind})"),
        (kind, other) => panic!("{kind} {other}"),
    }
}

fn legacy(request: &Value, lines: &mut Meaning) {
    for (name, expected) in entries(&request["Expected"]) {
        let line = match (expected.get("Exists"), expected.get("Value")) {
            (Some(Value::Bool(false)), _) => format!("if {name} is absent"),
            // The value of the key is that of the row.
            (_, Some(_)) if name == "leaseKey" => format!("if {name} exists"),
            (_, Some(value)) => format!("if {name} = {}", text(value)),
            (exists, None) => panic!("{name} {exists:?}"),
        };
        lines.insert(line);
    }
    for (name, update) in entries(&request["AttributeUpdates"]) {
        let value = update.get("Value").map(text);
        let line = match (update["Action"].as_str().unwrap(), value) {
            ("PUT", Some(value)) => format!("put {name} = {value}"),
            ("ADD", Some(value)) => format!("add {name} {value}"),
            ("DELETE", None) => format!("delete {name}"),
            other => panic!("{name} {other:?}"),
        };
        lines.insert(line);
    }
}

/// Reads the expressions that bindd writes, in which each clause appears once.
fn expressions(request: &Value, lines: &mut Meaning) {
    let resolve = |part: &str| {
        let words = part.split_inclusive([' ', '(', ')']).map(|word| {
            let name = word.trim_end_matches([' ', '(', ')']);
            let known = match name.chars().next() {
                Some('#') => request["ExpressionAttributeNames"][name].as_str().map(str::to_owned),
                Some(':') => Some(text(&request["ExpressionAttributeValues"][name])),
                _ => None,
            };
            known.map_or_else(|| word.to_owned(), |known| known + &word[name.len()..])
        });
        words.collect::<String>()
    };
    if let Some(condition) = request["ConditionExpression"].as_str() {
        for part in top_level(condition) {
            let part = resolve(&part);
            let inner = |function: &str| part.strip_prefix(function)?.strip_suffix(')').map(str::to_owned);
            lines.insert(match (inner("attribute_not_exists("), inner("attribute_exists(")) {
                (Some(name), _) => format!("if {name} is absent"),
                (_, Some(name)) => format!("if {name} exists"),
                (None, None) => format!("if {part}"),
            });
        }
    }
    let Some(update) = request["UpdateExpression"].as_str() else { return };
    let mut rest = update;
    for (clause, next) in [("SET ", " REMOVE "), ("REMOVE ", " ADD "), ("ADD ", "\n")] {
        let Some(inside) = rest.trim_start().strip_prefix(clause) else { continue };
        let end = inside.find(next).or_else(|| inside.find(" ADD ")).unwrap_or(inside.len());
        for part in inside[..end].split(", ") {
            let part = resolve(part);
            lines.insert(match clause {
                "SET " => format!("put {part}"),
                "REMOVE " => format!("delete {part}"),
                _ => format!("add {part}"),
            });
        }
        rest = &inside[end..];
    }
    assert!(rest.is_empty(), "{update}: {rest}");
}

/// The parts of a condition that `AND` connects outside of parentheses.
fn top_level(condition: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_i32);
    for word in condition.split(' ') {
        if depth == 0 && word == "AND" {
            parts.push(String::new());
            continue;
        }
        depth += i32::try_from(word.matches('(').count()).unwrap() - i32::try_from(word.matches(')').count()).unwrap();
        let part = parts.last_mut().unwrap();
        if !part.is_empty() {
            part.push(' ');
        }
        part.push_str(word);
    }
    parts
}
