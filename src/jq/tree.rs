//! Pieces of syntax trees: the meter's own terms, and terms in a form that jaq runs without surprises.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Opt, Part, Path};

/// Members of one object before it is put together from two: jaq nests a level for each.
pub(super) const MAX_MEMBERS: usize = 8;

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
pub(super) fn stepped<'s>(term: Term<&'s str>) -> Term<&'s str> {
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

/// An object in halves, so that it is not nested once for each member.
pub(super) fn joined<'s>(mut members: Vec<(Term<&'s str>, Option<Term<&'s str>>)>) -> Term<&'s str> {
    if members.len() <= MAX_MEMBERS {
        return Term::Obj(members);
    }
    let second = members.split_off(members.len() / 2);
    Term::BinOp(Box::new(joined(members)), BinaryOp::Math(Math::Add), Box::new(joined(second)))
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
