//! The functions that are written in Rust and that need the interpreter: the meter, generators and paths.

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::native::{Fun, v};
use jaq_core::{Bind, Error as JqError, Exn, Native, ValT, ValX};

use super::budget;
use super::collections;
use super::number::Number;
use super::paths;
use super::regexes;
use super::texts;
use super::value::{Data, Error, Value};

/// Ends the run: no `try` or `?` catches this, unlike an error.
pub(super) fn stop<'a>() -> Exn<'a, Value> {
    Exn::halt(0)
}

/// Takes a step, then gives the value; or ends the run.
fn step<'a, T: 'a>(steps: usize, value: T) -> BoxIter<'a, Result<T, Exn<'a, Value>>> {
    box_once(if budget::charge(steps) { Ok(value) } else { Err(stop()) })
}

/// `_step` before or after a value costs one step. It is put into every program where something may happen again.
fn meter() -> Native<Data> {
    Native::<Data>::new(|cv| step(1, cv.1))
        .with_paths(|cv| step(1, cv.1))
        .with_update(|cv, f| if budget::charge(1) { f(cv.1) } else { box_once(Err(stop())) })
}

/// `_loop` stands before `reduce` and `foreach`, which have no path here: updates and paths of jaq would recurse for
/// each turn.
fn no_path() -> Native<Data> {
    Native::<Data>::new(|cv| step(1, cv.1))
}

/// Everything that `f` reaches from a value, first the value. Paths have a maximal length, because dropping one recurses.
macro_rules! recurse {
    ($run:ident, $found:ident, $is_long:expr) => {
        |mut cv| {
            let (f, context) = cv.0.pop_fun();
            let mut open: Vec<BoxIter<'_, _>> = vec![box_once(Ok(cv.1))];
            Box::new(std::iter::from_fn(move || {
                loop {
                    match open.last_mut()?.next() {
                        None => {
                            open.pop();
                        }
                        Some(Ok($found)) if budget::charge(1) => {
                            if open.last().is_some_and(|rest| rest.size_hint() == (0, Some(0))) {
                                open.pop();
                            }
                            if $is_long {
                                open.clear();
                                return Some(Err(paths::fault("a path is too long")));
                            }
                            open.push(f.$run((context.clone(), $found.clone())));
                            return Some(Ok($found));
                        }
                        Some(Ok(_)) => {
                            open.clear();
                            return Some(Err(stop()));
                        }
                        Some(Err(e)) => {
                            open.clear();
                            return Some(Err(e));
                        }
                    }
                }
            }))
        }
    };
}

/// Whether a path is longer than values may be nested. Paths are lists that are dropped by recursion.
macro_rules! is_long {
    ($path:expr) => {
        $path.iter().nth(budget::max_nesting()).is_some()
    };
}

fn range<'a>(from: &Value, to: &Value, by: &Value) -> BoxIter<'a, ValX<'a, Value>> {
    let (Value::Number(from), Value::Number(to), Value::Number(by)) = (from, to, by) else {
        return box_once(Err(JqError::str("the ends of a range must be numbers").into()));
    };
    let (mut next, to, by, zero) = (from.clone(), to.clone(), by.clone(), Number::Int(0));
    Box::new(std::iter::from_fn(move || {
        let is_inside = if by > zero { next < to } else { next > to };
        if !is_inside || by == zero {
            return None;
        }
        if !budget::charge(1) {
            return Some(Err(stop()));
        }
        let now = next.clone();
        next = next.add(&by);
        Some(Ok(Value::Number(now)))
    }))
}

/// The path to read or update; jaq walks along it by recursion.
fn steps_of(path: &Value) -> Result<Vec<Value>, Error> {
    match path {
        Value::Array(path) if path.items.len() <= budget::max_nesting() => Ok(path.items.clone()),
        Value::Array(_) => Err(JqError::str("a path is too long")),
        other => Err(JqError::typ(other.clone(), "path")),
    }
}

fn read_path(value: Value, path: &Value) -> Result<Value, Error> {
    steps_of(path)?.iter().try_fold(value, |value, step| value.index(step))
}

fn get_path() -> Native<Data> {
    Native::<Data>::new(|mut cv| {
        let path = cv.0.pop_var();
        box_once(read_path(cv.1, &path).map_err(Exn::from))
    })
    .with_paths(|mut cv| {
        let path = cv.0.pop_var();
        let (value, before) = cv.1;
        box_once(read_path(value, &path).map_err(Exn::from).and_then(|value| {
            let all = steps_of(&path)?.into_iter().fold(before, |before, step| before.cons(step));
            if is_long!(all) { Err(paths::fault("a path is too long")) } else { Ok((value, all)) }
        }))
    })
    .with_update(|mut cv, f| {
        let path = cv.0.pop_var();
        let steps = steps_of(&path).map_err(Exn::from);
        box_once(steps.and_then(|steps| paths::update(cv.1, &steps, &|value| f(value).next())))
    })
}

/// The functions, by name, arguments and code. Names that begin with `_` are for the prelude only.
pub(super) fn functions() -> Vec<Fun<Data>> {
    let f = || [Bind::Fun(())].into();
    let mut all: Vec<Fun<Data>> = vec![
        ("_step", v(0), meter()),
        ("_loop", v(0), no_path()),
        ("_charge", v(0), Native::<Data>::new(|cv| step(cv.1.width() / 8, cv.1))),
        (
            "_recurse",
            f(),
            Native::<Data>::new(recurse!(run, found, false)).with_paths(recurse!(paths, found, is_long!(found.1))),
        ),
        (
            "_range",
            v(3),
            Native::<Data>::new(|mut cv| {
                let (by, to, from) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
                range(&from, &to, &by)
            }),
        ),
        ("getpath", v(1), get_path()),
        (
            "setpath",
            v(2),
            Native::<Data>::new(|mut cv| {
                let (new, path) = (cv.0.pop_var(), cv.0.pop_var());
                let steps = steps_of(&path).map_err(Exn::from);
                box_once(steps.and_then(|steps| paths::update(cv.1, &steps, &|_| Some(Ok(new.clone())))))
            }),
        ),
        (
            "delpaths",
            v(1),
            Native::<Data>::new(|mut cv| {
                let all = cv.0.pop_var();
                box_once(paths::delete(cv.1, &all))
            }),
        ),
    ];
    all.extend(collections::functions());
    all.extend(texts::functions());
    all.extend(regexes::functions());
    let of_jaq = jaq_core::funs().chain(jaq_std::funs());
    all.extend(of_jaq.filter_map(|(theirs, arguments, code)| {
        let (_, ours) = FROM_JAQ.iter().find(|(name, _)| *name == theirs)?;
        Some((*ours, arguments, code))
    }));
    all
}

/// Functions of jaq: its name and ours.
const FROM_JAQ: [(&str, &str); 83] = [
    ("error_empty", "_error"),
    ("path", "path"),
    ("first", "first"),
    ("last", "last"),
    ("limit", "limit"),
    ("skip", "skip"),
    ("floor", "floor"),
    ("round", "round"),
    ("ceil", "ceil"),
    ("ascii_downcase", "_ascii_downcase"),
    ("ascii_upcase", "_ascii_upcase"),
    ("sort", "_sort"),
    ("sort_by", "_sort_by"),
    ("group_by", "_group_by"),
    ("min_by_or_empty", "_min_by"),
    ("max_by_or_empty", "_max_by"),
    ("startswith", "_startswith"),
    ("endswith", "_endswith"),
    ("trim", "_trim"),
    ("ltrim", "_ltrim"),
    ("rtrim", "_rtrim"),
    ("encode_uri", "_encode_uri"),
    ("decode_uri", "_decode_uri"),
    ("encode_base64", "_encode_base64"),
    ("decode_base64", "_decode_base64"),
    ("now", "now"),
    ("fromdateiso8601", "_fromdateiso8601"),
    ("todateiso8601", "_todateiso8601"),
    ("strftime", "_strftime"),
    ("gmtime", "_gmtime"),
    ("strptime", "_strptime"),
    ("mktime", "_mktime"),
    ("acos", "acos"),
    ("acosh", "acosh"),
    ("asin", "asin"),
    ("asinh", "asinh"),
    ("atan", "atan"),
    ("atanh", "atanh"),
    ("cbrt", "cbrt"),
    ("cos", "cos"),
    ("cosh", "cosh"),
    ("exp", "exp"),
    ("exp10", "exp10"),
    ("exp2", "exp2"),
    ("expm1", "expm1"),
    ("fabs", "fabs"),
    ("frexp", "frexp"),
    ("ilogb", "_ilogb"),
    ("lgamma", "lgamma"),
    ("log", "log"),
    ("log10", "log10"),
    ("log1p", "log1p"),
    ("log2", "log2"),
    ("modf", "modf"),
    ("nearbyint", "nearbyint"),
    ("rint", "rint"),
    ("sin", "sin"),
    ("sinh", "sinh"),
    ("sqrt", "sqrt"),
    ("tan", "tan"),
    ("tanh", "tanh"),
    ("tgamma", "tgamma"),
    ("trunc", "trunc"),
    ("j0", "j0"),
    ("j1", "j1"),
    ("y0", "y0"),
    ("y1", "y1"),
    ("erf", "erf"),
    ("erfc", "erfc"),
    ("atan2", "atan2"),
    ("copysign", "copysign"),
    ("fdim", "fdim"),
    ("fmax", "fmax"),
    ("fmin", "fmin"),
    ("fmod", "fmod"),
    ("hypot", "hypot"),
    ("ldexp", "ldexp"),
    ("nextafter", "nextafter"),
    ("pow", "pow"),
    ("remainder", "_remainder"),
    ("scalbln", "scalbln"),
    ("fma", "fma"),
    ("utf8bytelength", "utf8bytelength"),
];
