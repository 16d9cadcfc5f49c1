//! Compiling a program.

use std::collections::BTreeSet;
use std::sync::Arc;

use jaq_core::load::lex::{Lexer, Token};
use jaq_core::load::parse::{Def, Parser, Term};
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Filter};

use super::compile_error::CompileError;
use super::limits::Limits;
use super::meter::Meter;
use super::natives;
use super::used::{Used, Uses};
use super::value::Data;

const PRELUDE: &str = include_str!("prelude.jq");

/// Bytes of a program.
const MAX_TEXT: usize = 8 << 10;
/// Brackets that may be open at one place.
const MAX_BRACKETS: usize = 256;
/// jaq reads programs by recursion, which needs a large stack for a text such as `- - - 1` or `try try try .`.
const STACK: usize = 256 << 20;
/// The name of the program among the functions that jaq compiles.
const MAIN: &str = "bindd_main";

/// A compiled program. It is cheap to clone and may run on many threads at once.
#[derive(Clone)]
pub struct Program {
    pub(super) filter: Arc<Filter<Data>>,
    pub(super) limits: Limits,
    /// What it reads of its input.
    pub(super) input: Used,
    pub(super) metadata: Used,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Program {
    /// Compiles the text of a program, of at most 8 KiB. This takes about a millisecond and is for the start.
    ///
    /// # Errors
    ///
    /// With line and column, if the text is no program, calls what is not available, or calls itself.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        if text.len() > MAX_TEXT {
            return Err(CompileError::at(text, 0, format!("the program is longer than {MAX_TEXT} bytes")));
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("jq-compile".to_owned()).stack_size(STACK);
            let compiling = thread.spawn_scoped(scope, || compile(text));
            let failed = || CompileError::at(text, 0, "the program could not be compiled; write it in a simpler way");
            compiling
                .map_err(|e| CompileError::at(text, 0, format!("no thread to compile with: {e}")))?
                .join()
                .map_err(|_| failed())?
        })
    }

    /// The program with other limits than [`Limits::default`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether the program names `$metadata`.
    #[must_use]
    pub fn uses_metadata(&self) -> bool {
        !self.metadata.is_nothing()
    }
}

/// Refuses what the parser would need too much stack for. Brackets inside strings count too.
fn check_brackets(text: &str) -> Result<(), CompileError> {
    let mut open = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_BRACKETS {
            return Err(CompileError::at(text, at, "too many brackets are open; write it with fewer levels"));
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Term<&str>, CompileError> {
    check_brackets(text)?;
    let tokens = Lexer::new(text).lex().map_err(|faults| first(text, &faults, CompileError::of_lexer))?;
    if let Some(Token(word @ ("import" | "include" | "module"), _)) = tokens.first() {
        let message = "modules are not supported; write the functions into the program";
        return Err(CompileError::at_part(text, word, message));
    }
    Parser::new(&tokens).parse(|parser| parser.term()).map_err(|faults| first(text, &faults, CompileError::of_parser))
}

/// The first fault in the text: the others may follow from it.
fn first<T>(text: &str, faults: &[T], of: fn(&str, &T) -> CompileError) -> CompileError {
    let all = faults.iter().map(|fault| of(text, fault));
    all.min_by_key(|fault| (fault.line, fault.column)).unwrap_or_else(|| CompileError::at(text, 0, "no program"))
}

fn compile(text: &str) -> Result<Program, CompileError> {
    let natives = natives::functions();
    let names = natives.iter().map(|(name, arguments, _)| (*name, arguments.len()));
    let mut meter = Meter::of_prelude(PRELUDE, names);
    let mut prelude = Vec::new();
    for def in load::parse(PRELUDE, |parser| parser.defs()).unwrap_or_default() {
        meter.called.clear();
        let place = meter.known();
        let def = meter.definition(def)?;
        prelude.push((place, def, std::mem::take(&mut meter.called)));
    }
    let mut meter = meter.for_program(text);
    let term = parse(text)?;
    let main = meter.program(term.clone())?;
    let mut defs = needed(prelude, std::mem::take(&mut meter.called));
    defs.push(Def { name: MAIN, args: Vec::new(), body: main });
    let filter = link(text, defs, natives)?;
    // After the meter, which refuses terms that are nested too deep.
    let Uses { input, metadata } = Uses::of(&term);
    Ok(Program { filter: Arc::new(filter), limits: Limits::default(), input, metadata })
}

/// A definition of the prelude with its place and the places of the functions that it calls.
type Placed<'s> = (usize, Def<&'s str, Term<&'s str>>, BTreeSet<usize>);

/// The definitions that are called, and those that these call: each compiled program holds its own.
fn needed<'s>(prelude: Vec<Placed<'s>>, mut called: BTreeSet<usize>) -> Vec<Def<&'s str, Term<&'s str>>> {
    let mut needed = Vec::new();
    // A definition calls only those before it.
    for (place, def, calls) in prelude.into_iter().rev() {
        if called.contains(&place) {
            called.extend(calls);
            needed.push(def);
        }
    }
    needed.reverse();
    needed
}

fn link<'s>(
    text: &str,
    defs: Vec<Def<&'s str, Term<&'s str>>>,
    natives: Vec<jaq_core::native::Fun<Data>>,
) -> Result<Filter<Data>, CompileError> {
    let arena = Arena::default();
    let unexpected = || CompileError::at(text, 0, "the program could not be compiled; write it in a simpler way");
    let modules = Loader::new(defs).load(&arena, File { code: MAIN, path: () }).map_err(|_| unexpected())?;
    let compiler = Compiler::default().with_funs(natives).with_global_vars(["$metadata"]);
    compiler.compile(modules).map_err(|faults| {
        let first = faults.first().and_then(|(_, faults)| faults.first());
        first.map_or_else(unexpected, |(name, kind)| {
            CompileError::at_part(text, name, format!("there is no {} {name}", kind.as_str()))
        })
    })
}
