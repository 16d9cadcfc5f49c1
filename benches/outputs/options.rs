//! What the benchmarks of inputs and outputs have in common on their command lines, and how they print.

use crate::Failure;
use std::io::Write;
use std::path::PathBuf;

/// The bindd that is measured.
#[derive(clap::Args, Clone)]
pub(crate) struct Measured {
    /// Another bindd program than the one that cargo built with this benchmark.
    #[arg(long, global = true)]
    pub(crate) bindd: Option<PathBuf>,
    /// Further fields of the component, as `name=value`.
    #[arg(long = "set", global = true)]
    fields: Vec<String>,
}

impl Measured {
    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        self.fields.iter().filter_map(|field| field.split_once('=')).collect()
    }
}

/// Prints a line and flushes it.
pub(crate) fn print_line(line: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", line.as_ref())?;
    Ok(out.flush()?)
}
