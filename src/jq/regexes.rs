//! Regular expressions, by an engine whose time grows only with the text times the expression.

use std::cell::RefCell;
use std::rc::Rc;

use jaq_core::native::{Fun, bome, v};
use jaq_core::{Cv, Error as JqError, Native};
use regex_lite::{Captures, Regex, RegexBuilder};

use super::budget;
use super::value::{Data, Error, Members, Value};

type Outcome = Result<Value, Error>;

/// Bytes of a compiled expression.
const MAX_EXPRESSION: usize = 64 << 10;
/// Bytes of a compiled place of an expression, at least.
const INSTRUCTION: usize = 16;
const MAX_NESTING: u32 = 32;

/// Compiled expressions that a thread keeps: programs have few, and run them on every record.
const MAX_KEPT: usize = 16;
/// Bytes of one that is kept, flags included. One from a record may be far longer than a program.
const MAX_KEPT_TEXT: usize = 8 << 10;
/// One with more groups times places is not kept, since a search needs memory for each group at each place.
const MAX_KEPT_SLOTS: usize = 16 << 10;

thread_local! {
    /// The one that was used last is the last.
    static KEPT: RefCell<Vec<Rc<Search>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Search {
    expression: Rc<str>,
    flags: Rc<str>,
    regex: Regex,
    weight: usize,
    is_global: bool,
    skips_empty: bool,
}

impl Search {
    /// Whether it takes little enough memory to be kept.
    fn is_small(&self) -> bool {
        self.expression.len() + self.flags.len() <= MAX_KEPT_TEXT
            && self.regex.captures_len().saturating_mul(self.weight) <= MAX_KEPT_SLOTS
    }
}

/// The compiled expression, kept from an earlier search if there is one.
fn search(expression: &Value, flags: &Value) -> Result<Rc<Search>, Error> {
    let Value::Text(expression) = expression else {
        return Err(JqError::typ(expression.clone(), "regular expression"));
    };
    let flags = match flags {
        Value::Null => Rc::default(),
        Value::Text(flags) => Rc::clone(flags),
        _ => return Err(JqError::typ(flags.clone(), "flags")),
    };
    // Also if it is kept, or the steps of a record would depend on the records before it.
    budget::charge(expression.len());
    if let Some(known) = kept(expression, &flags) {
        return Ok(known);
    }
    let search = Rc::new(compile(Rc::clone(expression), flags)?);
    if search.is_small() {
        keep(Rc::clone(&search));
    }
    Ok(search)
}

fn kept(expression: &str, flags: &str) -> Option<Rc<Search>> {
    KEPT.with_borrow_mut(|kept| {
        let at = kept.iter().rposition(|known| *known.expression == *expression && *known.flags == *flags)?;
        let last = kept.len() - 1;
        if at < last {
            kept[at..].rotate_left(1);
        }
        kept.last().cloned()
    })
}

fn keep(search: Rc<Search>) {
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push(search);
    });
}

fn compile(expression: Rc<str>, flags: Rc<str>) -> Result<Search, Error> {
    let mut builder = RegexBuilder::new(&expression);
    builder.size_limit(MAX_EXPRESSION).nest_limit(MAX_NESTING);
    let (mut is_global, mut skips_empty) = (false, false);
    for flag in flags.chars() {
        match flag {
            'g' => is_global = true,
            'n' => skips_empty = true,
            'i' => _ = builder.case_insensitive(true),
            'x' => _ = builder.ignore_whitespace(true),
            's' | 'p' => _ = builder.dot_matches_new_line(true),
            'l' => {}
            _ => return Err(JqError::str("a flag of a regular expression is none of g, i, l, n, p, s, x")),
        }
    }
    let regex = builder.build().map_err(|_| JqError::str("the regular expression is invalid or too long"))?;
    let weight = weight(&expression);
    Ok(Search { expression, flags, regex, weight, is_global, skips_empty })
}

/// Places of the compiled expression, about, and at most as many as it may have: `(a{100}){100}` has 10 000.
fn weight(expression: &str) -> usize {
    let repeats = expression.split('{').skip(1).map(|rest| {
        let counts = rest.split('}').next().unwrap_or_default().split(',');
        counts.filter_map(|count| count.trim().parse::<usize>().ok()).max().unwrap_or(1).max(1)
    });
    repeats.fold(expression.len(), usize::saturating_mul).min(MAX_EXPRESSION / INSTRUCTION)
}

/// Letters before a byte; asked in rising order mostly, so it goes on from where it was.
struct Letters<'a> {
    text: &'a str,
    byte: usize,
    letters: usize,
}

impl Letters<'_> {
    fn before(&mut self, byte: usize) -> usize {
        if byte < self.byte {
            (self.byte, self.letters) = (0, 0);
        }
        self.letters += self.text[self.byte..byte].chars().count();
        self.byte = byte;
        self.letters
    }
}

fn object(members: Vec<(&str, Value)>) -> Value {
    Value::object(members.into_iter().map(|(key, value)| (Rc::from(key), value)).collect::<Members>())
}

/// One match as `jq` describes it.
fn described(found: &Captures<'_>, names: &[Option<&str>], letters: &mut Letters<'_>) -> Value {
    let mut groups = (0..found.len()).map(|at| {
        let name = names.get(at).copied().flatten().map_or(Value::Null, Value::text);
        match found.get(at) {
            Some(group) => {
                let (offset, length) = (letters.before(group.start()), group.as_str().chars().count());
                (Value::int(offset), Value::int(length), Value::text(group.as_str()), name)
            }
            None => (Value::from(-1isize), Value::int(0), Value::Null, name),
        }
    });
    let Some((offset, length, string, _)) = groups.next() else { return Value::Null };
    let captures = groups.map(|(offset, length, string, name)| {
        object(vec![("offset", offset), ("length", length), ("string", string), ("name", name)])
    });
    let captures = Value::array(captures.collect());
    object(vec![("offset", offset), ("length", length), ("string", string), ("captures", captures)])
}

/// The matches, with the text before each if wanted, and at the end the text after them.
fn matches(text: &Value, expression: &Value, flags: &Value, with_rest: bool) -> Outcome {
    let Value::Text(text) = text else { return Err(JqError::typ(text.clone(), "string to match")) };
    let search = search(expression, flags)?;
    // To find one match, the engine goes at most once through the text for each place of the expression.
    if !budget::charge(text.len() / 64 * search.weight.div_ceil(8) + 1) {
        return Ok(Value::Null);
    }
    let names: Vec<Option<&str>> = search.regex.capture_names().collect();
    let mut letters = Letters { text, byte: 0, letters: 0 };
    let (mut found, mut from) = (Vec::new(), 0);
    for captures in search.regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        if search.skips_empty && whole.is_empty() {
            continue;
        }
        // Each match may need a look at the whole rest of the text, but most do not.
        if !budget::charge(1 + captures.len()) || !budget::check_time() {
            break;
        }
        if with_rest {
            found.push(Value::text(&text[from..whole.start()]));
            from = whole.end();
        }
        found.push(described(&captures, &names, &mut letters));
        if !search.is_global {
            break;
        }
    }
    if with_rest {
        found.push(Value::text(&text[from..]));
    }
    Ok(Value::array(found))
}

fn run(mut cv: Cv<'_, Data>, with_rest: bool) -> Outcome {
    let (flags, expression) = (cv.0.pop_var(), cv.0.pop_var());
    match expression {
        // `jq` takes `[expression, flags]` in one argument.
        Value::Array(both) => {
            let part = |at| both.items.get(at).cloned().unwrap_or_default();
            matches(&cv.1, &part(0), &part(1), with_rest)
        }
        expression => matches(&cv.1, &expression, &flags, with_rest),
    }
}

pub(super) fn functions() -> Vec<Fun<Data>> {
    vec![
        ("_matches", v(2), Native::<Data>::new(|cv| bome(run(cv, false)))),
        ("_pieces", v(2), Native::<Data>::new(|cv| bome(run(cv, true)))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: impl AsRef<str>) -> Value {
        Value::Text(text.as_ref().into())
    }

    /// Whether both are one compiled expression.
    fn is_same(left: &Rc<Search>, right: &Rc<Search>) -> bool {
        Rc::ptr_eq(left, right)
    }

    #[test]
    fn the_last_expressions_are_kept_with_their_flags() {
        let find = |expression: &str, flags: Value| search(&text(expression), &flags).unwrap();
        let (plain, global) = (find("a+", Value::Null), find("a+", text("g")));
        assert!(!is_same(&plain, &global) && !plain.is_global && global.is_global);
        assert!(is_same(&plain, &find("a+", Value::Null)) && is_same(&plain, &find("a+", text(""))));
        // Each of these is newer than the second, and the first is used again and again.
        for number in 0..MAX_KEPT - 1 {
            find(&format!("b{number}"), Value::Null);
            assert!(is_same(&plain, &find("a+", Value::Null)));
        }
        assert!(!is_same(&global, &find("a+", text("g"))));
        assert_eq!(KEPT.with_borrow(Vec::len), MAX_KEPT);
    }

    #[test]
    fn an_expression_that_needs_much_memory_is_not_kept() {
        let (groups, spaces, flags) = ("()".repeat(200), " ".repeat(MAX_KEPT_TEXT), "l".repeat(MAX_KEPT_TEXT));
        for (expression, flags) in [(groups.as_str(), ""), (spaces.as_str(), "x"), ("a", flags.as_str())] {
            let find = || search(&text(expression), &text(flags)).unwrap();
            assert!(!is_same(&find(), &find()), "{}", expression.len());
        }
        assert!(search(&text("("), &Value::Null).is_err() && search(&text("a"), &text("y")).is_err());
    }
}
