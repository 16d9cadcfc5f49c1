//! What to say of names that a program may not use.

use std::collections::BTreeSet;

/// Functions of jq that are left out, and why.
const REFUSED: [(&[&str], &str); 5] = [
    (&["env", "get_search_list", "input_filename", "builtins"], "programs do not see the environment of the process"),
    (
        &["input", "inputs", "debug", "stderr", "input_line_number", "halt", "halt_error"],
        "programs see their record only, and neither read, print nor stop anything",
    ),
    (&["localtime", "strflocaltime"], "times are in UTC; use gmtime and strftime"),
    (&["import", "include", "modulemeta"], "modules are not supported; write the functions into the program"),
    (&["tostream", "fromstream", "truncate_stream"], "streaming forms are not supported; use paths and getpath"),
];

pub(super) fn function(name: &str, arity: usize, arities: &BTreeSet<usize>) -> String {
    if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
        return format!("the function {name} is not available: {why}");
    }
    if arities.is_empty() {
        return format!("there is no function {name}");
    }
    let counts: Vec<String> = arities.iter().map(ToString::to_string).collect();
    format!("the function {name} takes {} arguments, not {arity}", counts.join(" or "))
}

pub(super) fn variable(name: &str) -> String {
    match name {
        "$ENV" => "$ENV is not available: programs do not see the environment of the process".to_owned(),
        "$__loc__" | "$__prog_args" => format!("{name} is not available"),
        _ => format!("there is no variable {name} here; the only one from outside is $metadata"),
    }
}
