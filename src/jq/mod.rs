//! Programs in jq that shape records: compiled once, run for each record, and never without bound.
//!
//! [`Program::compile`] reads and checks a text, [`Program::run`] gives its outputs for one record as JSON,
//! [`Program::run_text`] gives the text of a key, and [`Program::run_condition`] a boolean. The interpreter is jaq.
//!
//! # How a run stays inside its limits
//!
//! jaq has no limits, it works by recursion, and a stack that overflows ends the process. So
//!
//! - `meter` checks the syntax tree before jaq compiles it. A function that calls itself is refused, so a program without
//!   loops ends by itself. Loops are functions of Rust (`natives`) that count their turns. The rest can multiply work only
//!   by generators, calls and arguments: each of these gets a step of the meter.
//! - The meter ends a run by an exception that `try` and `?` do not catch. An operation that has no such exception, such
//!   as the comparison of two values, marks the budget as exceeded; the next step or the end of the run finds the mark.
//! - `value` has arrays and objects that know the size of their JSON and their nesting. A value over a limit is not made,
//!   also when it shares its parts and so needs little memory.
//! - Depth is limited in programs (when they are compiled, functions put in for their calls), in values, and in paths.
//! - A panic of the interpreter, should there be one, is caught and fails the record.
//!
//! Where it differs from jq is listed in `docs/shaping.md`; `tests/differences.rs` has a row for each.

mod access;
mod arithmetic;
mod budget;
mod collections;
mod compile_error;
mod limits;
mod meter;
mod natives;
mod number;
mod ordered_map;
mod paths;
mod program;
mod read;
mod refused;
mod regexes;
mod run;
mod scan;
mod texts;
mod tree;
mod used;
mod value;
mod write;

pub use compile_error::CompileError;
pub use limits::{Limit, Limits};
pub use program::Program;
pub use run::RunError;

#[cfg(test)]
#[path = "tests/differences.rs"]
mod difference_tests;
#[cfg(test)]
#[path = "tests/hostile.rs"]
mod hostile_tests;
#[cfg(test)]
#[path = "tests/programs.rs"]
mod programs_tests;
#[cfg(test)]
#[path = "tests/random.rs"]
mod random_tests;
