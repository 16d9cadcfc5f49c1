//! The recipes of the page about shaping: each component gets its records, and prints what the page shows.

use super::page::{Page, page};
use super::shell::{Variables, commands};
use crate::trial::run;

/// The recipes that users asked for.
const RECIPES: [&str; 10] = [
    "Filter by field",
    "Redact a field",
    "Key from a field",
    "Unwrap a CloudWatch Logs record",
    "Split an array",
    "Rename",
    "Route by type with two components",
    "Enrich from metadata",
    "Combine lines",
    "Drop noise",
];

#[test]
fn every_recipe_prints_what_the_page_shows() {
    let shaping = page("docs/shaping.md");
    let headings: Vec<&str> =
        shaping.section("## Recipes").lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings, RECIPES);
    let mut wrong = String::new();
    for heading in headings {
        let recipe = Page { path: shaping.path.clone(), text: shaping.section(&format!("### {heading}")).to_owned() };
        let blocks = recipe.blocks();
        let languages: Vec<&str> = blocks.iter().map(|block| block.language).collect();
        assert_eq!(languages, ["yaml", "sh", "text", "text"], "{heading}");
        let command = commands(blocks[1].text, &mut Variables::new()).remove(0);
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let ["bindd", "try", "--file", file, ..] = words.as_slice() else { panic!("{heading}: {words:?}") };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), blocks[0].text).unwrap();
        let output = run(folder.path(), &words[2..], format!("{}\n", blocks[2].text).as_bytes());
        let (printed, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if printed.trim_end() != blocks[3].text || !error.is_empty() {
            wrong.push_str(&format!("{heading}:\n{printed}{error}\n"));
        }
    }
    assert!(wrong.is_empty(), "these print something else:\n{wrong}");
}
