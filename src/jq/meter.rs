//! Checks a program and puts the meter into it. jaq has no limits of its own, so before it compiles a program,
//!
//! - every name must be known and none may call itself, directly or through others: what remains ends by itself, except
//!   loops that are functions of Rust with a meter;
//! - a step is put where something can happen more than once: at each output of a generator, at the begin of each
//!   function, of each argument and of each turn of a loop;
//! - paths whose keys are programs are taken apart, because jaq would try all combinations of their outputs at once;
//! - the program may not be nested too deep, functions put in for their calls, because jaq runs it by recursion.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

use super::compile_error::CompileError;
use super::refused;
use super::tree::{apart, calculated, call, interpolated, is_single, joined, pipe, stepped};

/// Levels of a program.
const MAX_DEPTH: usize = 250;

/// A function that the program may call.
#[derive(Clone, Debug)]
struct Function<'s> {
    name: &'s str,
    arity: usize,
    depth: usize,
    /// Whether its own body is being read.
    is_open: bool,
}

#[derive(Debug)]
pub(super) struct Meter<'s> {
    text: &'s str,
    functions: Vec<Function<'s>>,
    variables: Vec<&'s str>,
    labels: Vec<&'s str>,
    is_prelude: bool,
    /// Terms that are open.
    level: usize,
    /// The functions below this one are those of the prelude.
    prelude: usize,
    /// Functions of the prelude that are called.
    pub(super) called: BTreeSet<usize>,
}

type Checked<'s> = Result<(Term<&'s str>, usize), CompileError>;

impl<'s> Meter<'s> {
    pub(super) fn of_prelude(text: &'s str, natives: impl Iterator<Item = (&'s str, usize)>) -> Self {
        let function = |(name, arity)| Function { name, arity, depth: 2, is_open: false };
        Self {
            text,
            functions: natives.map(function).collect(),
            variables: Vec::new(),
            labels: Vec::new(),
            is_prelude: true,
            level: 0,
            prelude: usize::MAX,
            called: BTreeSet::new(),
        }
    }

    /// Goes on with the text of a user, who may call what was read so far.
    pub(super) fn for_program(mut self, text: &'s str) -> Self {
        self.text = text;
        self.is_prelude = false;
        self.prelude = self.functions.len();
        self.variables = vec!["$metadata"];
        self.called.clear();
        self
    }

    /// The number of functions that are known so far.
    pub(super) fn known(&self) -> usize {
        self.functions.len()
    }

    fn fault<T>(&self, part: &str, message: impl Into<String>) -> Result<T, CompileError> {
        Err(CompileError::at_part(self.text, part, message))
    }

    /// A whole program.
    pub(super) fn program(&mut self, term: Term<&'s str>) -> Result<Term<&'s str>, CompileError> {
        Ok(self.term(term)?.0)
    }

    pub(super) fn definition(
        &mut self,
        def: Def<&'s str, Term<&'s str>>,
    ) -> Result<Def<&'s str, Term<&'s str>>, CompileError> {
        let (functions, variables) = (self.functions.len(), self.variables.len());
        self.functions.push(Function { name: def.name, arity: def.args.len(), depth: 0, is_open: true });
        for argument in def.args.iter().copied() {
            if argument.starts_with('$') {
                self.variables.push(argument);
            } else {
                self.functions.push(Function { name: argument, arity: 0, depth: 1, is_open: false });
            }
        }
        let (body, depth) = self.term(def.body)?;
        self.functions.truncate(functions);
        self.variables.truncate(variables);
        self.functions.push(Function { name: def.name, arity: def.args.len(), depth, is_open: false });
        Ok(Def { name: def.name, args: def.args, body: pipe(call("_step"), body) })
    }

    fn term(&mut self, term: Term<&'s str>) -> Checked<'s> {
        // Checked on the way down too, because this goes down by recursion.
        self.level += 1;
        let (term, depth) = if self.level > MAX_DEPTH { (Term::Id, usize::MAX) } else { self.inner(term)? };
        self.level -= 1;
        if depth > MAX_DEPTH {
            return self
                .fault(self.text, "the program is nested too deep; write it with fewer levels and shorter pipes");
        }
        Ok((term, depth + 1))
    }

    fn boxed(&mut self, term: Term<&'s str>) -> Result<(Box<Term<&'s str>>, usize), CompileError> {
        self.term(term).map(|(term, depth)| (Box::new(term), depth))
    }

    fn inner(&mut self, term: Term<&'s str>) -> Checked<'s> {
        match term {
            Term::Id | Term::Num(_) | Term::Arr(None) => Ok((term, 1)),
            Term::Recurse => Ok((pipe(Term::Recurse, call("_step")), 3)),
            Term::Str(format, parts) => self.string(format, parts),
            Term::Arr(Some(inner)) => self.boxed(*inner).map(|(inner, depth)| (Term::Arr(Some(inner)), depth)),
            Term::Obj(members) => self.object(members),
            Term::Neg(inner) => self.boxed(*inner).map(|(inner, depth)| (Term::Neg(inner), depth)),
            Term::BinOp(left, op, right) => self.operation(*left, op, *right),
            Term::Label(name, body) => {
                self.labels.push(name);
                let (body, depth) = self.boxed(*body)?;
                self.labels.pop();
                Ok((Term::Label(name, body), depth))
            }
            Term::Break(name) if self.labels.contains(&name) => Ok((term, 1)),
            Term::Break(name) => self.fault(name, format!("there is no label {name} around this break")),
            Term::Fold(kind, source, pattern, turns) => self.fold(kind, *source, pattern, turns),
            Term::TryCatch(body, None) => self.boxed(*body).map(|(body, depth)| (Term::TryCatch(body, None), depth)),
            Term::TryCatch(body, Some(catch)) => {
                let ((body, depth), (catch, other)) = (self.boxed(*body)?, self.boxed(*catch)?);
                Ok((Term::TryCatch(body, Some(catch)), depth.max(other)))
            }
            Term::IfThenElse(branches, last) => self.branches(branches, last),
            Term::Def(defs, body) => {
                let functions = self.functions.len();
                let defs = defs.into_iter().map(|def| self.definition(def)).collect::<Result<_, _>>()?;
                let (body, depth) = self.boxed(*body)?;
                self.functions.truncate(functions);
                Ok((Term::Def(defs, body), depth))
            }
            Term::Call(name, arguments) => self.call(name, arguments),
            Term::Var(name) => self.variable(name),
            Term::Path(base, path) => self.path(*base, path),
        }
    }

    fn variable(&mut self, name: &'s str) -> Checked<'s> {
        if !self.variables.contains(&name) {
            return self.fault(name, refused::variable(name));
        }
        Ok((Term::Var(name), 1))
    }

    fn string(&mut self, format: Option<&'s str>, parts: Vec<StrPart<&'s str, Term<&'s str>>>) -> Checked<'s> {
        let mut depth = match format {
            Some(format) => self.call(format, Vec::new())?.1,
            None => 1,
        };
        let mut checked = Vec::with_capacity(parts.len());
        for part in parts {
            checked.push(match part {
                StrPart::Term(term) => {
                    let (term, own) = self.term(term)?;
                    depth = depth.max(own);
                    StrPart::Term(term)
                }
                StrPart::Str(text) => StrPart::Str(text),
                StrPart::Char(letter) => StrPart::Char(letter),
            });
        }
        let (term, levels) = interpolated(format, checked);
        Ok((term, depth + levels))
    }

    fn object(&mut self, members: Vec<(Term<&'s str>, Option<Term<&'s str>>)>) -> Checked<'s> {
        let mut depth = 1;
        let mut checked = Vec::with_capacity(members.len());
        for (key, value) in members {
            let (key, own) = self.term(key)?;
            depth = depth.max(own);
            let value = match value {
                Some(value) => {
                    let (value, own) = self.term(value)?;
                    depth = depth.max(own);
                    Some(value)
                }
                None => None,
            };
            checked.push((key, value));
        }
        let (term, levels) = joined(checked);
        Ok((term, depth + levels + 1))
    }

    fn operation(&mut self, left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Checked<'s> {
        let (left, depth) = self.boxed(left)?;
        if let BinaryOp::Pipe(Some(pattern)) = op {
            let variables = self.variables.len();
            let (pattern, own) = self.pattern(pattern)?;
            let (right, other) = self.term(right)?;
            self.variables.truncate(variables);
            let right = Box::new(stepped(right));
            return Ok((Term::BinOp(left, BinaryOp::Pipe(Some(pattern)), right), depth.max(other).max(own) + 1));
        }
        let (right, other) = self.term(right)?;
        if matches!(op, BinaryOp::Math(_) | BinaryOp::Cmp(_)) {
            let (term, levels) = calculated(*left, op, right);
            return Ok((term, depth.max(other) + levels));
        }
        let is_update =
            matches!(op, BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt);
        let needs_step = match op {
            BinaryOp::Pipe(None) => !is_single(&left),
            BinaryOp::Comma | BinaryOp::Update => true,
            _ => false,
        };
        let right = Box::new(if needs_step { stepped(right) } else { right });
        let left = if is_update { Box::new(pipe(*left, call("_step"))) } else { left };
        Ok((Term::BinOp(left, op, right), depth.max(other) + 2))
    }

    fn pattern(&mut self, pattern: Pattern<&'s str>) -> Result<(Pattern<&'s str>, usize), CompileError> {
        Ok(match pattern {
            Pattern::Var(name) if name.starts_with("$__") && !self.is_prelude => {
                return self.fault(name, "names of variables may not begin with `$__`");
            }
            Pattern::Var(name) => {
                self.variables.push(name);
                (Pattern::Var(name), 1)
            }
            Pattern::Arr(items) => {
                let items = items.into_iter().map(|item| self.pattern(item)).collect::<Result<Vec<_>, _>>()?;
                let depth = items.iter().map(|(_, depth)| depth + 1).max().unwrap_or(1) + items.len();
                (Pattern::Arr(items.into_iter().map(|(item, _)| item).collect()), depth)
            }
            Pattern::Obj(members) => {
                let (mut depth, mut checked) = (members.len(), Vec::with_capacity(members.len()));
                for (key, value) in members {
                    let (key, own) = self.term(key)?;
                    let (value, other) = self.pattern(value)?;
                    depth += own.max(other);
                    checked.push((key, value));
                }
                (Pattern::Obj(checked), depth)
            }
        })
    }

    fn fold(
        &mut self,
        kind: &'s str,
        source: Term<&'s str>,
        pattern: Pattern<&'s str>,
        turns: Vec<Term<&'s str>>,
    ) -> Checked<'s> {
        let is_complete = matches!((kind, turns.len()), (_, 2) | ("foreach", 3));
        if !is_complete {
            return self.fault(kind, format!("{kind} needs two arguments, such as `{kind} .[] as $x (0; . + $x)`"));
        }
        let (source, mut depth) = self.boxed(source)?;
        let mut turns = turns.into_iter();
        let mut checked = Vec::new();
        for init in turns.by_ref().take(1) {
            let (init, own) = self.term(init)?;
            depth = depth.max(own);
            checked.push(init);
        }
        let variables = self.variables.len();
        let (pattern, own) = self.pattern(pattern)?;
        depth = depth.max(own);
        for turn in turns {
            let (turn, own) = self.term(turn)?;
            depth = depth.max(own);
            checked.push(pipe(call("_step"), turn));
        }
        self.variables.truncate(variables);
        Ok((pipe(call("_loop"), Term::Fold(kind, source, pattern, checked)), depth + 3))
    }

    fn branches(
        &mut self,
        branches: Vec<(Term<&'s str>, Term<&'s str>)>,
        last: Option<Box<Term<&'s str>>>,
    ) -> Checked<'s> {
        let mut depth = branches.len();
        let mut checked = Vec::with_capacity(branches.len());
        for (condition, then) in branches {
            let ((condition, own), (then, other)) = (self.term(condition)?, self.term(then)?);
            depth = depth.max(own).max(other);
            checked.push((condition, then));
        }
        let count = checked.len();
        let last = match last {
            Some(last) => {
                let (last, own) = self.boxed(*last)?;
                depth = depth.max(own);
                Some(last)
            }
            None => None,
        };
        Ok((Term::IfThenElse(checked, last), depth + count))
    }

    fn call(&mut self, name: &'s str, arguments: Vec<Term<&'s str>>) -> Checked<'s> {
        let arity = arguments.len();
        let is_hidden = !self.is_prelude && name.starts_with('_');
        let found = self.functions.iter().rposition(|known| known.name == name && known.arity == arity);
        let found = found.filter(|at| !is_hidden || *at >= self.prelude);
        let Some(at) = found else { return self.fault(name, self.unknown(name, arity)) };
        let function = &self.functions[at];
        if function.is_open {
            return self.fault(
                name,
                format!("the function {name} calls itself; use recurse, walk, until, while or reduce instead"),
            );
        }
        let mut depth = function.depth;
        if at < self.prelude {
            self.called.insert(at);
        }
        let mut inner = 0;
        let mut checked = Vec::with_capacity(arity);
        for argument in arguments {
            let (argument, own) = self.term(argument)?;
            inner = inner.max(own);
            let is_plain = matches!(argument, Term::Num(_) | Term::Var(_) | Term::Str(None, _)) && is_single(&argument);
            checked.push(if is_plain { argument } else { stepped(argument) });
        }
        depth += inner + 1;
        Ok((Term::Call(name, checked), depth))
    }

    fn unknown(&self, name: &str, arity: usize) -> String {
        let others = self.functions.iter().filter(|known| known.name == name && !name.starts_with('_'));
        let arities: BTreeSet<usize> = others.map(|known| known.arity).collect();
        refused::function(name, arity, &arities)
    }

    /// A path part by part: each place that names many gets a step, and each key that is a program gets a variable.
    fn path(&mut self, base: Term<&'s str>, path: Path<Term<&'s str>>) -> Checked<'s> {
        let (base, mut depth) = self.term(base)?;
        let mut parts = Vec::with_capacity(path.0.len());
        for (part, opt) in path.0 {
            let mut key = |key: Term<&'s str>| {
                let (key, own) = self.term(key)?;
                depth = depth.max(own);
                Ok::<_, CompileError>(key)
            };
            let part = match part {
                Part::Index(index) => Part::Index(key(index)?),
                Part::Range(from, to) => Part::Range(from.map(&mut key).transpose()?, to.map(&mut key).transpose()?),
            };
            parts.push((part, opt));
        }
        let count = parts.len();
        Ok((apart(base, parts), depth + 2 * count + 2))
    }
}
