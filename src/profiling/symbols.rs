//! What is at an address of the program: the functions, if the program has symbols, and the place in its file, with which
//! tools find them in a copy that has symbols.

use std::ops::Range;
use std::path::PathBuf;

/// A function in a call stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) function: String,
    /// As the linker knows the function.
    pub(super) symbol: String,
    /// Path of the source; empty if it is not known.
    pub(super) file: String,
    /// 0 if it is not known.
    pub(super) line: i64,
}

/// What is at an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The address in the file of the program; `None` if it belongs to a library, or the system does not tell.
    pub(super) in_program: Option<u64>,
    /// Innermost first: functions that the compiler merged are several. Empty without symbols.
    pub(super) calls: Vec<Call>,
}

/// The running program.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) path: String,
    /// Where its file is in memory.
    memory: Option<Range<u64>>,
}

impl Program {
    pub(super) fn current() -> Self {
        let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::new()).to_string_lossy().into_owned();
        // Only Linux has it.
        let memory = std::fs::read_to_string("/proc/self/maps").ok().and_then(|maps| range(&maps, &path));
        Self { path, memory }
    }

    pub(super) fn place(&self, address: u64) -> Place {
        let mut calls = Vec::new();
        // It looks up the address before this one, which it takes for that behind a call.
        let behind = std::ptr::without_provenance_mut(usize::try_from(address.saturating_add(1)).unwrap_or_default());
        backtrace::resolve(behind, |symbol| {
            let Some(name) = symbol.name() else { return };
            calls.push(Call {
                function: format!("{name:#}"),
                symbol: name.as_str().unwrap_or_default().to_owned(),
                file: symbol.filename().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default(),
                line: symbol.lineno().map(i64::from).unwrap_or_default(),
            });
        });
        let memory = self.memory.as_ref().filter(|memory| memory.contains(&address));
        Place { in_program: memory.map(|memory| address - memory.start), calls }
    }
}

/// The memory of a file in the lines of `/proc/self/maps`: `start-end rights offset device inode path`.
fn range(maps: &str, path: &str) -> Option<Range<u64>> {
    let mut found: Option<Range<u64>> = None;
    for line in maps.lines().filter(|line| is_of(line, path)) {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        found = Some(found.map_or(start, |range| range.start)..end);
    }
    found
}

fn is_of(line: &str, path: &str) -> bool {
    !path.is_empty() && line.strip_suffix(path).is_some_and(|before| before.ends_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_file_is_from_its_first_to_its_last_line() {
        let maps = "5500-5510 r--p 00000000 fe:00 1 /usr/bin/bindd\n5510-5580 r-xp 00010000 fe:00 1 /usr/bin/bindd\n\
                    5600-5610 rw-p 00000000 00:00 0 [heap]\n7f00-7f10 r--p 00000000 fe:00 2 /lib/libc.so.6\n";
        assert_eq!(range(maps, "/usr/bin/bindd"), Some(0x5500..0x5580));
        assert_eq!((range(maps, "/usr/bin/other"), range(maps, ""), range("x", "x")), (None, None, None));
        let program = Program { path: String::new(), memory: range(maps, "/usr/bin/bindd") };
        assert_eq!(program.place(0x5512), Place { in_program: Some(0x12), calls: Vec::new() });
        assert_eq!(program.place(0x5580), Place::default());
    }

    #[test]
    fn functions_of_this_program_have_names() {
        let here = functions_of_this_program_have_names as fn() as usize as u64;
        let place = Program::current().place(here);
        assert!(place.calls.iter().any(|call| call.function.contains("functions_of_this_program")), "{place:?}");
        assert!(place.in_program.is_some() || !cfg!(target_os = "linux"));
    }
}
