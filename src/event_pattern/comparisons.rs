//! The comparisons of a leaf, from JSON.

use super::comparison::{Comparison, Excluded, Network, TextComparison};
use super::error::PatternError;
use super::json::Json;
use super::scalar::Scalar;
use super::wildcard::Wildcard;
use std::borrow::Cow;
use std::ops::Bound;

pub(super) const OPERATORS: [&str; 8] =
    ["prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr"];

pub(super) fn comparisons(values: Vec<Json>) -> Result<Vec<Comparison>, PatternError> {
    if values.is_empty() {
        return Err(PatternError::new("an empty list matches nothing", "name a value, or remove the field"));
    }
    let numbered = values.into_iter().enumerate();
    numbered.map(|(index, value)| comparison(value).map_err(|error| error.below(&format!("[{index}]")))).collect()
}

fn comparison(value: Json) -> Result<Comparison, PatternError> {
    match value {
        Json::String(text) => Ok(Comparison::Equals(Scalar::String(Cow::Owned(text)))),
        Json::Number(text) => Ok(Comparison::Equals(Scalar::Number(Cow::Owned(text)))),
        Json::Literal(text) => Ok(Comparison::Equals(Scalar::Literal(match text.as_str() {
            "true" => "true",
            "false" => "false",
            _ => "null",
        }))),
        Json::Array(_) => {
            Err(PatternError::new("a list inside a list matches nothing", "write the values in one list"))
        }
        Json::Object(members) => {
            let (name, operand) = only_member(members, "a comparison")?;
            operator(&name, operand).map_err(|error| error.below(&name))
        }
    }
}

fn only_member(members: Vec<(String, Json)>, what: &str) -> Result<(String, Json), PatternError> {
    let mut members = members.into_iter();
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        _ => Err(PatternError::new(
            format!("{what} has exactly one member"),
            r#"write each as its own element, such as `[{"prefix": "a"}, {"suffix": "b"}]`"#,
        )),
    }
}

fn operator(name: &str, operand: Json) -> Result<Comparison, PatternError> {
    match name {
        "exists" => match operand {
            Json::Literal(text) if text != "null" => Ok(Comparison::Exists(text == "true")),
            _ => Err(PatternError::new("it is neither `true` nor `false`", r#"write `{"exists": true}`"#)),
        },
        "numeric" => numeric(operand),
        "cidr" => {
            let network = string(operand).ok().and_then(|text| Network::parse(&text));
            let network = network.ok_or_else(|| {
                PatternError::new("it is no range of addresses", r#"write `{"cidr": "10.0.0.0/24"}` or an IPv6 range"#)
            });
            network.map(Comparison::Cidr)
        }
        "anything-but" => anything_but(operand).map(Comparison::AnythingBut),
        "prefix" | "suffix" => match operand {
            Json::Object(members) => {
                let (inner, operand) = only_member(members, "it")?;
                if inner != "equals-ignore-case" {
                    let problem = format!("`{inner}` cannot be combined with it");
                    return Err(PatternError::new(problem, "only `equals-ignore-case` can"));
                }
                let text = filled_string(operand)?;
                let is_prefix = name == "prefix";
                let comparison =
                    if is_prefix { TextComparison::PrefixIgnoreCase } else { TextComparison::SuffixIgnoreCase };
                Ok(Comparison::Text(comparison(text)))
            }
            operand => text_comparison(name, operand).map(Comparison::Text),
        },
        "equals-ignore-case" | "wildcard" => text_comparison(name, operand).map(Comparison::Text),
        _ => {
            let known: Vec<String> = OPERATORS.iter().map(|name| format!("`{name}`")).collect();
            Err(PatternError::new("there is no such comparison", format!("the comparisons are {}", known.join(", "))))
        }
    }
}

fn string(operand: Json) -> Result<String, PatternError> {
    match operand {
        Json::String(text) => Ok(text),
        Json::Number(_) | Json::Literal(_) | Json::Array(_) | Json::Object(_) => {
            Err(PatternError::new("it is not a string", "write a string in quotes"))
        }
    }
}

fn filled_string(operand: Json) -> Result<String, PatternError> {
    let text = string(operand)?;
    if text.is_empty() {
        return Err(PatternError::new(
            "an empty string would match every string",
            r#"use `{"exists": true}` for that"#,
        ));
    }
    Ok(text)
}

fn text_comparison(name: &str, operand: Json) -> Result<TextComparison, PatternError> {
    match name {
        "prefix" => filled_string(operand).map(TextComparison::Prefix),
        "suffix" => filled_string(operand).map(TextComparison::Suffix),
        "equals-ignore-case" => string(operand).map(TextComparison::EqualsIgnoreCase),
        "wildcard" => {
            let wildcard = Wildcard::parse(&string(operand)?);
            let wildcard = wildcard
                .map_err(|problem| PatternError::new(problem, r"write `\*` for an asterisk and `\\` for a backslash"));
            wildcard.map(TextComparison::Wildcard)
        }
        _ => Err(PatternError::new(
            "it cannot be negated",
            "`anything-but` takes `prefix`, `suffix`, `equals-ignore-case` and `wildcard`",
        )),
    }
}

fn anything_but(operand: Json) -> Result<Excluded, PatternError> {
    let values = match operand {
        Json::Object(members) => {
            let (name, operand) = only_member(members, "it")?;
            let operands = match operand {
                Json::Array(list) => list,
                single => vec![single],
            };
            let comparisons = operands.into_iter().map(|operand| text_comparison(&name, operand));
            let comparisons: Vec<_> = comparisons.collect::<Result<_, _>>().map_err(|error| error.below(&name))?;
            return if comparisons.is_empty() { Err(nothing_excluded()) } else { Ok(Excluded::Texts(comparisons)) };
        }
        Json::Array(list) => list,
        single => vec![single],
    };
    let mut strings = Vec::new();
    let mut numbers = Vec::new();
    for value in values {
        match value {
            Json::String(text) => strings.push(text),
            Json::Number(text) => numbers.push(number(&text)?),
            Json::Literal(_) | Json::Array(_) | Json::Object(_) => {
                return Err(PatternError::new(
                    "it takes strings or numbers",
                    r#"write `{"anything-but": ["a", "b"]}`"#,
                ));
            }
        }
    }
    match (strings.is_empty(), numbers.is_empty()) {
        (false, true) => Ok(Excluded::Strings(strings)),
        (true, false) => Ok(Excluded::Numbers(numbers)),
        (true, true) => Err(nothing_excluded()),
        (false, false) => {
            Err(PatternError::new("strings and numbers are mixed", "write two fields of a `$or`, or one type"))
        }
    }
}

fn nothing_excluded() -> PatternError {
    PatternError::new("an empty list excludes nothing", r#"use `{"exists": true}` for any value"#)
}

fn number(text: &str) -> Result<f64, PatternError> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| PatternError::new(format!("{text} is out of range"), "write a number of IEEE 754 binary64"))
}

fn numeric(operand: Json) -> Result<Comparison, PatternError> {
    let remedy = r#"write `{"numeric": [">", 0, "<=", 5]}`, `["<", 10]` or `["=", 1]`"#;
    let wrong = |problem: String| PatternError::new(problem, remedy);
    let Json::Array(terms) = operand else { return Err(wrong("it is not a list".to_owned())) };
    let (mut low, mut high) = (Bound::Unbounded, Bound::Unbounded);
    let pairs = terms.chunks(2);
    if terms.is_empty() || terms.len() > 4 {
        return Err(wrong("it takes one or two pairs of a sign and a number".to_owned()));
    }
    for pair in pairs {
        let [Json::String(sign), Json::Number(text)] = pair else {
            return Err(wrong("it takes pairs of a sign in quotes and a number".to_owned()));
        };
        let number = number(text)?;
        let (bound, value) = match sign.as_str() {
            ">" => (&mut low, Bound::Excluded(number)),
            ">=" => (&mut low, Bound::Included(number)),
            "<" => (&mut high, Bound::Excluded(number)),
            "<=" => (&mut high, Bound::Included(number)),
            "=" if terms.len() == 2 => {
                low = Bound::Included(number);
                (&mut high, Bound::Included(number))
            }
            "=" => return Err(wrong("`=` stands alone".to_owned())),
            other => return Err(wrong(format!("`{other}` is no sign"))),
        };
        if *bound != Bound::Unbounded {
            return Err(wrong(format!("`{sign}` repeats a limit")));
        }
        *bound = value;
    }
    if is_empty(low, high) {
        return Err(wrong("no number is in the range".to_owned()));
    }
    Ok(Comparison::Numeric(low, high))
}

fn is_empty(low: Bound<f64>, high: Bound<f64>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low >= high,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
