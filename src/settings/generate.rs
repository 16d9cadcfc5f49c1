//! Texts that are made from the flags: completions of shells, and the manual page.

use super::flags;
use super::model::UsageError;
use clap_complete::Shell;

/// The script that the shell loads.
pub(super) fn completions(shell: Shell) -> UsageError {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut flags::command(), "bindd", &mut script);
    printed(&script)
}

/// `bindd(1)`, for all commands.
pub(super) fn manual() -> UsageError {
    let mut page = Vec::new();
    match clap_mangen::Man::new(flags::command()).render(&mut page) {
        Ok(()) => printed(&page),
        Err(error) => UsageError::wrong(format!("the manual page could not be written: {error}")),
    }
}

fn printed(text: &[u8]) -> UsageError {
    UsageError { text: String::from_utf8_lossy(text).into_owned(), code: 0 }
}

#[cfg(test)]
#[path = "tests/generate.rs"]
mod tests;
