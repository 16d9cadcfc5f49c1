//! From the text of a filter to its alternatives.

use super::MAX_LENGTH;
use super::alternatives::{Alternative, Node};
use super::comparisons::{OPERATORS, comparisons};
use super::error::PatternError;
use super::json::Json;

/// Combinations of all branches of all `$or`. EventBridge allows 1,000 for a rule.
const MAX_ALTERNATIVES: usize = 1000;
/// Lambda allows 5 for an event source mapping, and 10 on request.
const MAX_PATTERNS: usize = 100;

pub(super) fn filter(text: &str, fields: &[&str]) -> Result<Vec<Alternative>, PatternError> {
    if text.len() > MAX_LENGTH {
        let problem = format!("the filter has {} bytes", text.len());
        return Err(PatternError::new(problem, format!("write at most {MAX_LENGTH} bytes")));
    }
    let patterns = patterns(parsed(text)?)?;
    if patterns.len() > MAX_PATTERNS {
        let problem = format!("the filter has {} patterns", patterns.len());
        return Err(PatternError::new(
            problem,
            format!("write at most {MAX_PATTERNS}, or list the values in one pattern"),
        ));
    }
    let mut alternatives = Vec::new();
    for (place, pattern) in patterns {
        let compiled =
            root(pattern, fields).map_err(|error| if place.is_empty() { error } else { error.below(&place) })?;
        alternatives.extend(compiled);
        check_count(alternatives.len())?;
    }
    Ok(alternatives)
}

fn parsed(text: &str) -> Result<Json, PatternError> {
    Json::parse(text).map_err(|error| PatternError::new(format!("the filter is not valid JSON: {error}"), EXAMPLE))
}

const EXAMPLE: &str = r#"write a pattern such as `{"data": {"type": ["order"]}}`, or a list of patterns"#;

/// The patterns, with their places in a list.
fn patterns(json: Json) -> Result<Vec<(String, Json)>, PatternError> {
    let list = match json {
        Json::Array(list) => list,
        Json::Object(members) if is_only(&members, "FilterCriteria") => return filter_criteria(members),
        Json::Object(members) if is_only(&members, "Filters") => return lambda_filters(members),
        object @ Json::Object(_) => return Ok(vec![(String::new(), object)]),
        Json::String(_) | Json::Number(_) | Json::Literal(_) => {
            return Err(PatternError::new("a filter is a JSON object or a list of them", EXAMPLE));
        }
    };
    if list.is_empty() {
        return Err(PatternError::new("the list of patterns is empty, so that no record would match", EXAMPLE));
    }
    Ok(list.into_iter().enumerate().map(|(index, pattern)| (format!("[{index}]"), pattern)).collect())
}

/// Whether an object has one member, of this name.
fn is_only(members: &[(String, Json)], name: &str) -> bool {
    matches!(members, [(known, _)] if known == name)
}

const LAMBDA_EXAMPLE: &str = r#"write `{"Filters": [{"Pattern": "{\"data\": …}"}]}`, or only the pattern"#;

/// The member of an event source mapping that holds the list of filters.
fn filter_criteria(members: Vec<(String, Json)>) -> Result<Vec<(String, Json)>, PatternError> {
    match members.into_iter().next() {
        Some((_, Json::Object(inner))) if is_only(&inner, "Filters") => {
            lambda_filters(inner).map_err(|error| error.below("FilterCriteria"))
        }
        _ => Err(PatternError::new("`FilterCriteria` must have one member, the list `Filters`", LAMBDA_EXAMPLE)),
    }
}

/// The `FilterCriteria` of Lambda, in which each pattern is the text of a JSON object.
fn lambda_filters(members: Vec<(String, Json)>) -> Result<Vec<(String, Json)>, PatternError> {
    let remedy = LAMBDA_EXAMPLE;
    let mut patterns = Vec::new();
    for (_, filters) in members {
        let Json::Array(filters) = filters else { return Err(PatternError::new("`Filters` is not a list", remedy)) };
        for (index, filter) in filters.into_iter().enumerate() {
            let place = format!("Filters[{index}]");
            let Json::Object(filter) = filter else {
                return Err(PatternError::new("it is not an object", remedy).below(&place));
            };
            let mut filter = filter.into_iter();
            match (filter.next(), filter.next()) {
                (Some((name, Json::String(text))), None) if name == "Pattern" => {
                    patterns.push((place.clone(), parsed(&text).map_err(|error| error.below(&place))?));
                }
                _ => {
                    return Err(
                        PatternError::new("it must have one member, the string `Pattern`", remedy).below(&place)
                    );
                }
            }
        }
    }
    if patterns.is_empty() {
        return Err(PatternError::new("`Filters` is empty, so that no record would match", remedy));
    }
    Ok(patterns)
}

fn root(pattern: Json, fields: &[&str]) -> Result<Vec<Alternative>, PatternError> {
    let Json::Object(members) = pattern else {
        return Err(PatternError::new("a pattern is a JSON object", EXAMPLE));
    };
    let alternatives = object(members)?;
    let names = alternatives.iter().flat_map(|node| &node.fields).map(|field| field.name.as_str());
    for name in names {
        if name != "data" && !fields.contains(&name) {
            let known: Vec<String> = std::iter::once(&"data").chain(fields).map(|field| format!("`{field}`")).collect();
            let problem = format!("there is no field `{name}` beside `data`");
            let others = match known.get(1..).unwrap_or_default() {
                [] => String::new(),
                others => format!("; the others are {}", others.join(", ")),
            };
            let remedy = format!("write the fields of the data inside `data`{others}");
            return Err(PatternError::new(problem, remedy));
        }
    }
    Ok(alternatives)
}

fn object(members: Vec<(String, Json)>) -> Result<Vec<Node>, PatternError> {
    if members.is_empty() {
        return Err(PatternError::new("an object without fields would match everything", "name a field, or remove it"));
    }
    let mut alternatives = vec![Node::default()];
    for (name, value) in members {
        let options = member(name.clone(), value).map_err(|error| error.below(&name))?;
        check_count(alternatives.len() * options.len())?;
        let combined = alternatives.iter().flat_map(|left| options.iter().map(|right| left.clone().and(right.clone())));
        alternatives = combined.collect();
    }
    Ok(alternatives)
}

fn member(name: String, value: Json) -> Result<Vec<Node>, PatternError> {
    match value {
        Json::Array(branches) if name == "$or" => or(branches),
        Json::Array(values) => comparisons(values).map(|list| vec![Node::leaf(name, list)]),
        Json::Object(members) => {
            let children = object(members)?;
            Ok(children.into_iter().map(|child| Node::object(name.clone(), child)).collect())
        }
        Json::String(_) | Json::Number(_) | Json::Literal(_) => {
            Err(PatternError::new("a value must be in a list", "write the value in brackets, such as `[\"order\"]`"))
        }
    }
}

fn or(branches: Vec<Json>) -> Result<Vec<Node>, PatternError> {
    let remedy = r#"write `"$or": [{"a": [1]}, {"b": [2]}]`"#;
    if branches.len() < 2 {
        return Err(PatternError::new("it needs at least two patterns", remedy));
    }
    let mut alternatives = Vec::new();
    for (index, branch) in branches.into_iter().enumerate() {
        let below = |error: PatternError| error.below(&format!("[{index}]"));
        let Json::Object(members) = branch else { return Err(below(PatternError::new("it is not an object", remedy))) };
        if let Some((name, _)) = members.iter().find(|(name, _)| OPERATORS.contains(&name.as_str())) {
            let problem = format!("`{name}` is a comparison and needs a field");
            return Err(below(PatternError::new(problem, remedy)));
        }
        alternatives.extend(object(members).map_err(below)?);
        check_count(alternatives.len())?;
    }
    Ok(alternatives)
}

fn check_count(count: usize) -> Result<(), PatternError> {
    if count <= MAX_ALTERNATIVES {
        return Ok(());
    }
    let problem = format!("the branches of all `$or` have more than {MAX_ALTERNATIVES} combinations");
    Err(PatternError::new(problem, "list several values of one field instead, or use fewer `$or`"))
}
