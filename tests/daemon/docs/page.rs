//! A Markdown page and its parts.

use std::fs;
use std::path::{Path, PathBuf};

/// A page of the documentation.
#[derive(Debug)]
pub(super) struct Page {
    /// Its path below the root of the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A fenced block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'p> {
    pub(super) language: &'p str,
    pub(super) text: &'p str,
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and everything below `docs`.
pub(super) fn pages() -> Vec<Page> {
    let mut paths = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let list = if path.is_dir() { &mut folders } else { &mut paths };
            list.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| page(path.strip_prefix(root()).unwrap())).collect()
}

pub(super) fn page(path: impl AsRef<Path>) -> Page {
    let text = fs::read_to_string(root().join(path.as_ref())).unwrap();
    Page { path: path.as_ref().to_owned(), text }
}

impl Page {
    pub(super) fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut rest = self.text.as_str();
        while let Some((_, opened)) = rest.split_once("\n```") {
            let (language, inside) = opened.split_once('\n').unwrap();
            let (text, after) =
                inside.split_once("\n```").unwrap_or_else(|| panic!("{} has an open block", self.path.display()));
            blocks.push(Block { language, text });
            rest = after;
        }
        blocks
    }

    /// The lines outside of fenced blocks, with their numbers.
    pub(super) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_inside = false;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            let is_fence = line.starts_with("```");
            is_inside ^= is_fence;
            (!is_inside && !is_fence).then_some((number + 1, line))
        })
    }

    /// The part below a heading, up to the next one of its level (or of a level above, but not the title).
    pub(super) fn section(&self, heading: &str) -> &str {
        let marks = heading.split(' ').next().unwrap();
        let start = self.text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
        let inside = &self.text[start + heading.len() + 2..];
        let ends = (2..=marks.len()).filter_map(|level| inside.find(&format!("\n{} ", "#".repeat(level))));
        &inside[..ends.min().unwrap_or(inside.len())]
    }
}

/// The code spans in the first cells of all tables whose first column has this title.
pub(super) fn first_column<'t>(text: &'t str, title: &str) -> Vec<&'t str> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let cell = line.strip_prefix('|').and_then(|row| row.split('|').next()).map(str::trim);
        match cell {
            None => is_inside = false,
            Some(cell) if is_inside => found.extend(code_spans(cell)),
            Some(cell) => is_inside = cell == title,
        }
    }
    found
}

/// The code spans in one cell of each row of the first table whose first column has this title.
pub(super) fn rows<'t>(text: &'t str, title: &str, column: usize) -> Vec<Vec<&'t str>> {
    let cell = |line: &'t str, column: usize| line.split('|').nth(column + 1).map_or("", str::trim);
    let lines = text.lines().skip_while(|line| cell(line, 0) != title).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| code_spans(cell(line, column)).collect()).collect()
}

pub(super) fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
