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
//! # Where it differs from jq
//!
//! - There is no input, output, environment, module or stop: `input`, `inputs`, `env`, `$ENV`, `debug`, `stderr`, `halt`,
//!   `halt_error`, `input_filename`, `$__loc__`, `import`, `include`. `localtime` and `strflocaltime` are left out.
//! - A function may not call itself. `recurse`, `repeat`, `while`, `until`, `walk`, `range`, `limit`, `reduce` and
//!   `foreach` are there.
//! - Not there: `?//`, `bsearch`, `tostream`, `fromstream`, `truncate_stream`, `@base32`, `@base32d`, `builtins`,
//!   `input_line_number`, and functions in the style of SQL except `IN` and `INDEX`.
//! - `reduce` and `foreach` have no path, so `path(reduce …)` and `(reduce …) |= 1` fail. `try`, `first(f)`, `limit`,
//!   `label` and `recurse(f)` cannot stand on the left of an assignment; `..`, `.[]?`, `select`, `if` and `getpath` can.
//! - Numbers that are not calculated with stay as they are written: `1.0`, `1e400`, and integers of any length. Integers
//!   of 64 bits are calculated exactly; all others as floats, as in jq.
//! - `$x` as a parameter of a function is a variable only; in jq it is a function `x` too.
//! - `walk`, `..|=` and updates take the first output of the update; with none, the place is deleted.
//! - `from_entries` takes the keys `k` and `name` and the value `v` too, and keys that are numbers or booleans.
//! - `?` and `try` catch the errors of their own expression only, and `all(f)` is not true because `f` has no output for
//!   the first item, as in jq 1.7 and later.
//! - `todate` and `gmtime` keep fractions of a second. Functions that jq 1.6 does not have, such as `abs`, `toarray`, `trim`
//!   and `pick`, are those of later versions.
//! - Messages of errors name kinds of values (`cannot index string with string`), never the values.
//! - Regular expressions are those of the crate `regex-lite`: no lookaround, no back-references, ASCII classes.

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
#[path = "tests/hostile.rs"]
mod hostile_tests;
#[cfg(test)]
#[path = "tests/programs.rs"]
mod programs_tests;
#[cfg(test)]
#[path = "tests/random.rs"]
mod random_tests;
