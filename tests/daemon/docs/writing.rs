//! Form of the pages: sizes, lengths of lines, links.

use super::page::{Page, page, pages, root};

const MAX_README: usize = 10 * 1024;
const MAX_LINE: usize = 120;

#[test]
fn the_readme_is_short() {
    let size = page("README.md").text.len();
    assert!(size <= MAX_README, "{size} bytes");
}

#[test]
fn lines_of_prose_are_short() {
    for page in pages() {
        for (number, line) in page.prose().filter(|(_, line)| !line.starts_with('|')) {
            assert!(line.chars().count() <= MAX_LINE, "{}:{number} is too long", page.path.display());
        }
    }
}

/// So that no command or file escapes the tests that run and load them.
#[test]
fn blocks_have_a_language_that_the_tests_know() {
    for page in pages() {
        let place = page.path.display();
        assert!(
            page.text.lines().all(|line| !line.starts_with(' ') || !line.contains("```")),
            "{place}: indented block"
        );
        for block in page.blocks() {
            match block.language {
                "sh" | "yaml" | "http" => {}
                "text" => assert!(!block.text.contains("curl ") && !block.text.contains("apiVersion"), "{place}"),
                "json" => drop(serde_json::from_str::<serde_json::Value>(block.text).unwrap()),
                other => panic!("{place} has a block of language {other:?}"),
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for from in pages() {
        for (number, line) in from.prose() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if !link.contains("://") {
                    links += 1;
                    let place = format!("{}:{number}: {link}", from.path.display());
                    assert_leads_somewhere(&from, link, &place);
                }
            }
        }
    }
    assert!(links > 10, "only {links} links were found");
}

fn assert_leads_somewhere(from: &Page, link: &str, place: &str) {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { from.path.clone() } else { from.path.parent().unwrap().join(file) };
    assert!(root().join(&target).exists(), "{place} has no target");
    if let Some(anchor) = anchor {
        let target = page(&target);
        let headings = target.prose().filter(|(_, line)| line.starts_with('#'));
        let mut anchors = headings.map(|(_, line)| anchor_of(line.trim_start_matches('#').trim()));
        assert!(anchors.any(|found| found == anchor), "{place} has no such heading");
    }
}

/// The anchor that GitHub gives a heading.
fn anchor_of(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
