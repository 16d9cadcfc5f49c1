//! Pieces of syntax trees: the meter's own terms, and terms in a form that jaq runs without surprises.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Opt, Part, Path};

/// Members of one object before it is put together from two: jaq nests a level for each.
const MAX_MEMBERS: usize = 8;

pub(super) fn call(name: &'static str) -> Term<&'static str> {
    Term::Call(name, Vec::new())
}

pub(super) fn pipe<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

pub(super) fn bind<'s>(value: Term<&'s str>, name: &'s str, body: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(value), BinaryOp::Pipe(Some(Pattern::Var(name))), Box::new(body))
}

/// The term, with a step before it.
pub(super) fn stepped(term: Term<&str>) -> Term<&str> {
    pipe(call("_step"), term)
}

/// Whether a term gives one output at most, without calling anything.
pub(super) fn is_single(term: &Term<&str>) -> bool {
    let is_plain = |part: &StrPart<&str, Term<&str>>| !matches!(part, StrPart::Term(term) if !is_single(term));
    match term {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Arr(_) => true,
        Term::Str(None, parts) => parts.iter().all(is_plain),
        Term::Neg(inner) => is_single(inner),
        Term::BinOp(left, BinaryOp::Math(_) | BinaryOp::Cmp(_), right) => is_single(left) && is_single(right),
        Term::Path(base, path) => is_single(base) && path.0.iter().all(|(part, _)| is_plain_part(part)),
        Term::Obj(members) => members.iter().all(|(key, value)| is_single(key) && value.as_ref().is_none_or(is_single)),
        _ => false,
    }
}

/// Whether a part of a path names one place.
pub(super) fn is_plain_part(part: &Part<Term<&str>>) -> bool {
    let is_plain = |key: &Term<&str>| matches!(key, Term::Num(_) | Term::Var(_) | Term::Str(None, _)) && is_single(key);
    match part {
        Part::Index(key) => is_plain(key) || matches!(key, Term::Neg(key) if is_plain(key)),
        Part::Range(None, None) => false,
        Part::Range(from, to) => [from, to].into_iter().flatten().all(is_plain),
    }
}

/// Whether a term gives exactly one output or an error, without calling anything.
fn is_one(term: &Term<&str>) -> bool {
    match term {
        Term::Path(base, path) => {
            let is_essential =
                |(part, opt): &(Part<Term<&str>>, Opt)| matches!(opt, Opt::Essential) && is_plain_part(part);
            is_one(base) && path.0.iter().all(is_essential)
        }
        Term::Str(None, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(term) if !is_one(term))),
        Term::Neg(inner) => is_one(inner),
        Term::BinOp(left, BinaryOp::Math(_) | BinaryOp::Cmp(_), right) => is_one(left) && is_one(right),
        Term::Obj(members) => members.iter().all(|(key, value)| is_one(key) && value.as_ref().is_none_or(is_one)),
        other => is_single(other),
    }
}

/// Whether a term gives the same one output for every input, and no error.
fn is_constant(term: &Term<&str>) -> bool {
    match term {
        Term::Num(_) | Term::Var(_) | Term::Arr(None) => true,
        Term::Str(None, parts) => !parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        _ => false,
    }
}

const LEFT: &str = "$__left";
const RIGHT: &str = "$__right";

/// `left op right`, and the levels that it adds. jaq runs the left side first and forgets its errors where the right side
/// has no output; jq runs the right side first and forgets nothing.
pub(super) fn calculated<'s>(
    left: Term<&'s str>,
    op: BinaryOp<&'s str>,
    right: Term<&'s str>,
) -> (Term<&'s str>, usize) {
    let join = |left, right| Term::BinOp(Box::new(left), op, Box::new(right));
    if is_constant(&right) || (is_one(&left) && is_one(&right)) {
        return (join(left, right), 2);
    }
    (bind(right, RIGHT, bind(left, LEFT, join(Term::Var(LEFT), Term::Var(RIGHT)))), 4)
}

type Member<'s> = (Term<&'s str>, Option<Term<&'s str>>);

/// The variables that take keys and values of at most [`MAX_MEMBERS`] members.
const KEYS: [&str; MAX_MEMBERS] =
    ["$__key0", "$__key1", "$__key2", "$__key3", "$__key4", "$__key5", "$__key6", "$__key7"];
const VALUES: [&str; MAX_MEMBERS] =
    ["$__value0", "$__value1", "$__value2", "$__value3", "$__value4", "$__value5", "$__value6", "$__value7"];

/// An object in halves, so that it is not nested once for each member, and the levels that it adds. As jq, it runs its
/// members from left to right, and an error of one is an error although a later one has no output.
pub(super) fn joined<'s>(mut members: Vec<Member<'s>>) -> (Term<&'s str>, usize) {
    let is_one = members.iter().all(|(key, value)| is_one(key) && value.as_ref().is_none_or(is_one));
    if members.len() <= MAX_MEMBERS {
        let count = members.len();
        return if is_one { (Term::Obj(members), count) } else { (bound(members), 3 * count) };
    }
    let second = members.split_off(members.len() / 2);
    let join = |left, right| Term::BinOp(Box::new(left), BinaryOp::Math(Math::Add), Box::new(right));
    let ((first, depth), (second, other)) = (joined(members), joined(second));
    if is_one {
        return (join(first, second), depth.max(other) + 1);
    }
    let sum = join(Term::Var(LEFT), Term::Var(RIGHT));
    (bind(first, LEFT, bind(second, RIGHT, sum)), depth.max(other) + 3)
}

fn bound<'s>(members: Vec<Member<'s>>) -> Term<&'s str> {
    let mut bindings = Vec::new();
    let mut lift = |term, name| {
        if is_constant(&term) {
            return term;
        }
        bindings.push((term, name));
        Term::Var(name)
    };
    let mut lifted = Vec::with_capacity(members.len());
    for ((key, value), (key_name, value_name)) in members.into_iter().zip(KEYS.into_iter().zip(VALUES)) {
        lifted.push(match (key, value) {
            (key @ Term::Var(_), None) => (key, None),
            (key, value) => {
                let key = lift(key, key_name);
                let value = value.unwrap_or_else(|| {
                    let part = (Part::Index(key.clone()), Opt::Essential);
                    Term::Path(Box::new(Term::Id), Path(vec![part]))
                });
                (key, Some(lift(value, value_name)))
            }
        });
    }
    bindings.into_iter().rev().fold(Term::Obj(lifted), |body, (term, name)| bind(term, name, body))
}

/// A string whose parts run from right to left, as in jq, and the levels that it adds.
pub(super) fn interpolated<'s>(
    format: Option<&'s str>,
    mut parts: Vec<StrPart<&'s str, Term<&'s str>>>,
) -> (Term<&'s str>, usize) {
    let count = parts.len();
    let terms = parts.iter().filter(|part| matches!(part, StrPart::Term(term) if !is_constant(term))).count();
    let is_one = parts.iter().all(|part| !matches!(part, StrPart::Term(term) if !is_one(term)));
    if terms <= 1 || is_one {
        return (Term::Str(format, parts), count);
    }
    let (second, depth) = interpolated(format, parts.split_off(count / 2));
    let (first, other) = interpolated(format, parts);
    let joined = Term::BinOp(Box::new(Term::Var(LEFT)), BinaryOp::Math(Math::Add), Box::new(Term::Var(RIGHT)));
    (bind(second, RIGHT, bind(first, LEFT, joined)), depth.max(other) + 3)
}

/// The variables that take the outputs of keys. Keys see the value before the path, which is the first of them.
const INPUT: &str = "$__input";
const FROM: &str = "$__from";
const TO: &str = "$__to";

pub(super) fn apart<'s>(base: Term<&'s str>, parts: Vec<(Part<Term<&'s str>>, Opt)>) -> Term<&'s str> {
    let is_many = |part: &Part<Term<&str>>| !is_plain_part(part) && !matches!(part, Part::Range(None, None));
    let needs_input = parts.iter().any(|(part, _)| is_many(part));
    let mut whole = base;
    let mut plain = Vec::new();
    for (part, opt) in parts {
        if is_plain_part(&part) {
            plain.push((part, opt));
            continue;
        }
        if matches!(part, Part::Range(None, None)) {
            plain.push((part, opt));
            whole = pipe(Term::Path(Box::new(whole), Path(std::mem::take(&mut plain))), call("_step"));
            continue;
        }
        if !plain.is_empty() {
            whole = Term::Path(Box::new(whole), Path(std::mem::take(&mut plain)));
        }
        whole = pipe(whole, keyed(part, opt));
    }
    if !plain.is_empty() {
        whole = Term::Path(Box::new(whole), Path(plain));
    }
    if needs_input { bind(Term::Id, INPUT, whole) } else { whole }
}

/// `.[key]` where the key is a program that sees the input.
pub(super) fn keyed<'s>(part: Part<Term<&'s str>>, opt: Opt) -> Term<&'s str> {
    let on_input = |key: Term<&'s str>| pipe(Term::Var(INPUT), key);
    let access = |part| stepped(Term::Path(Box::new(Term::Id), Path(vec![(part, opt)])));
    match part {
        Part::Index(key) => bind(on_input(key), FROM, access(Part::Index(Term::Var(FROM)))),
        Part::Range(from, to) => {
            let part = Part::Range(from.as_ref().map(|_| Term::Var(FROM)), to.as_ref().map(|_| Term::Var(TO)));
            let inner = match to {
                Some(to) => bind(on_input(to), TO, access(part)),
                None => access(part),
            };
            match from {
                Some(from) => bind(on_input(from), FROM, inner),
                None => inner,
            }
        }
    }
}
