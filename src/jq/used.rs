//! What a program reads of its input and of `$metadata`. Members of them that no program names need not become values: most
//! keys, conditions and short transforms name a few members of a record.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::{Part, Path};

/// The members of an object that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Used {
    All,
    Only(Vec<Box<str>>),
}

/// Functions that do not read their input, and run their arguments on it.
const WITHOUT_INPUT: [(&str, usize); 19] = [
    ("all", 2),
    ("any", 2),
    ("empty", 0),
    ("error", 1),
    ("false", 0),
    ("first", 1),
    ("infinite", 0),
    ("isempty", 1),
    ("last", 1),
    ("limit", 2),
    ("nan", 0),
    ("now", 0),
    ("nth", 2),
    ("null", 0),
    ("range", 1),
    ("range", 2),
    ("range", 3),
    ("skip", 2),
    ("true", 0),
];

/// What is read of the input, and of `$metadata`.
pub(super) struct Uses {
    pub(super) input: Used,
    pub(super) metadata: Used,
}

/// Whether a term runs on the input of the program, or on another value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    OnInput,
    Elsewhere,
}

impl Used {
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|own| **own == *name),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::Only(Vec::new())
    }

    fn add(&mut self, name: String) {
        if self.has(&name) {
            return;
        }
        match self {
            Self::Only(names) => names.push(name.into()),
            Self::All => {}
        }
    }
}

impl Uses {
    pub(super) fn of(program: &Term<&str>) -> Self {
        let nothing = Used::Only(Vec::new());
        let mut uses = Self { input: nothing.clone(), metadata: nothing };
        uses.term(program, Runs::OnInput);
        uses
    }

    /// The input as a whole is read.
    fn whole(&mut self, runs: Runs) {
        if runs == Runs::OnInput {
            self.input = Used::All;
        }
    }

    fn terms<'t, 's: 't>(&mut self, terms: impl IntoIterator<Item = &'t Term<&'s str>>, runs: Runs) {
        terms.into_iter().for_each(|term| self.term(term, runs));
    }

    fn term(&mut self, term: &Term<&str>, runs: Runs) {
        match term {
            Term::Id | Term::Recurse => self.whole(runs),
            Term::Num(_) | Term::Arr(None) | Term::Break(_) => {}
            // A format alone is a function of the input.
            Term::Str(Some(_), parts) if parts.is_empty() => self.whole(runs),
            Term::Str(_, parts) => self.terms(parts.iter().filter_map(term_of), runs),
            Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => self.term(inner, runs),
            Term::Obj(members) => members.iter().for_each(|(key, value)| self.member(key, value.as_ref(), runs)),
            Term::BinOp(left, op, right) => self.operation(left, op, right, runs),
            Term::Fold(_, source, pattern, turns) => {
                self.pattern(pattern, runs);
                self.term(source, runs);
                // All but the first run on what the turn before gave.
                self.terms(turns.iter().take(1), runs);
                self.terms(turns.iter().skip(1), Runs::Elsewhere);
            }
            Term::TryCatch(body, catch) => {
                self.term(body, runs);
                // It runs on the message of an error.
                self.terms(catch.as_deref(), Runs::Elsewhere);
            }
            Term::IfThenElse(branches, last) => {
                branches.iter().for_each(|(condition, then)| self.terms([condition, then], runs));
                match last {
                    Some(last) => self.term(last, runs),
                    None => self.whole(runs),
                }
            }
            Term::Def(defs, body) => {
                self.whole(runs);
                self.terms(defs.iter().map(|def| &def.body), Runs::Elsewhere);
                self.term(body, runs);
            }
            Term::Call(name, arguments) => {
                if !WITHOUT_INPUT.contains(&(*name, arguments.len())) {
                    self.whole(runs);
                }
                self.terms(arguments, runs);
            }
            Term::Var(name) => {
                if is_metadata(name) {
                    self.metadata = Used::All;
                }
            }
            Term::Path(base, path) => self.path(base, path, runs),
        }
    }

    /// `{id}` is `{id: .id}`, and `{$name}` is `{name: $name}`.
    fn member(&mut self, key: &Term<&str>, value: Option<&Term<&str>>, runs: Runs) {
        match (value, literal(key)) {
            (Some(value), _) => self.terms([key, value], runs),
            (None, Some(name)) if runs == Runs::OnInput => self.input.add(name),
            (None, Some(_)) => {}
            (None, None) => {
                self.term(key, runs);
                if !matches!(key, Term::Var(_)) {
                    self.whole(runs);
                }
            }
        }
    }

    fn operation(&mut self, left: &Term<&str>, op: &BinaryOp<&str>, right: &Term<&str>, runs: Runs) {
        match op {
            BinaryOp::Pipe(None) => {
                self.term(left, runs);
                self.term(right, Runs::Elsewhere);
            }
            BinaryOp::Pipe(Some(pattern)) => {
                self.pattern(pattern, runs);
                self.terms([left, right], runs);
            }
            BinaryOp::Comma | BinaryOp::Alt | BinaryOp::Or | BinaryOp::And | BinaryOp::Math(_) | BinaryOp::Cmp(_) => {
                self.terms([left, right], runs)
            }
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                self.whole(runs);
                self.terms([left, right], runs);
            }
        }
    }

    fn pattern(&mut self, pattern: &Pattern<&str>, runs: Runs) {
        match pattern {
            Pattern::Var(_) => {}
            Pattern::Arr(items) => items.iter().for_each(|item| self.pattern(item, runs)),
            Pattern::Obj(members) => {
                for (key, value) in members {
                    self.term(key, runs);
                    self.pattern(value, runs);
                }
            }
        }
    }

    /// The keys of a path run on the input of the whole path.
    fn path(&mut self, base: &Term<&str>, path: &Path<Term<&str>>, runs: Runs) {
        let first = path.0.first().and_then(|(part, _)| match part {
            Part::Index(key) => literal(key),
            Part::Range(..) => None,
        });
        match (base, first) {
            (Term::Id, Some(name)) if runs == Runs::OnInput => self.input.add(name),
            (Term::Var(base), Some(name)) if is_metadata(base) => self.metadata.add(name),
            (base, _) => self.term(base, runs),
        }
        for (part, _) in &path.0 {
            match part {
                Part::Index(key) => self.term(key, runs),
                Part::Range(from, to) => self.terms([from, to].into_iter().flatten(), runs),
            }
        }
    }
}

fn is_metadata(name: &str) -> bool {
    name == "$metadata"
}

fn term_of<'t, 's>(part: &'t StrPart<&'s str, Term<&'s str>>) -> Option<&'t Term<&'s str>> {
    match part {
        StrPart::Term(term) => Some(term),
        StrPart::Str(_) | StrPart::Char(_) => None,
    }
}

/// The text of a string without programs in it.
fn literal(term: &Term<&str>) -> Option<String> {
    let Term::Str(None, parts) = term else { return None };
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(part) => text.push_str(part),
            StrPart::Char(letter) => text.push(*letter),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
#[path = "tests/used.rs"]
mod tests;
