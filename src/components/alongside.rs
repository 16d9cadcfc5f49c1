//! What is wrong with components only beside each other: two on one lease table, letters that arrive nowhere. Those with
//! faults of their own are looked at too, so that one run tells everything.

use super::Checked;
use crate::domain::ComponentName;
use crate::manifest::{Document, Fault};
use std::collections::HashMap;

/// A document of a known kind, checked by itself.
#[derive(Debug)]
pub(super) struct Candidate<'d> {
    pub(super) document: &'d Document,
    pub(super) checked: Checked,
    /// Whether no fault was found in it.
    pub(super) is_sound: bool,
}

/// The faults, each with the place of its candidate. `documents` are all that were loaded, of unknown kinds too.
pub(super) fn judge(candidates: &[Candidate<'_>], documents: &[Document]) -> Vec<(usize, Fault)> {
    let letters = candidates.iter().enumerate().filter_map(|(place, from)| {
        let problem = undeliverable(candidates, documents, &from.checked)?;
        let remedy = "name another component that has an output side and whose own letters do not come back";
        Some((place, fault(from, "deadLetterBinding", problem, remedy)))
    });
    shared_lease_tables(candidates).into_iter().chain(letters).collect()
}

fn fault(candidate: &Candidate<'_>, field: &str, problem: String, remedy: &str) -> Fault {
    let fault = Fault::of_document(&candidate.document.place, problem, remedy);
    fault.component(candidate.checked.name.as_str()).field(field)
}

/// Two inputs on one lease table would take each other's shards, or mix up the shards of two streams. Of a component with
/// faults it is not sure which table it means.
fn shared_lease_tables(candidates: &[Candidate<'_>]) -> Vec<(usize, Fault)> {
    let mut seen: HashMap<&str, &ComponentName> = HashMap::new();
    let mut doubled = Vec::new();
    for (place, candidate) in candidates.iter().enumerate().filter(|(_, candidate)| candidate.is_sound) {
        let Some(table) = candidate.checked.lease_table() else { continue };
        if let Some(first) = seen.get(table) {
            let problem = format!("its lease table `{table}` is also that of component `{first}`");
            doubled.push((
                place,
                fault(candidate, "consumerName", problem, "give each input a `consumerName` of its own"),
            ));
        } else {
            seen.insert(table, &candidate.checked.name);
        }
    }
    doubled
}

/// A dead letter binding must be there, must have an output side, and must not lead back to where letters come from.
fn undeliverable(candidates: &[Candidate<'_>], documents: &[Document], from: &Checked) -> Option<String> {
    let target = from.dead_letter()?;
    let find = |name: &ComponentName| candidates.iter().find(|candidate| candidate.checked.name == *name);
    let Some(peer) = find(target) else {
        // Of an unknown kind of binding nothing is known but that, which is told.
        let is_told = |document: &&Document| {
            let kind = document.component_type.to_lowercase();
            document.name == *target && !document.ignore_errors && kind.starts_with("bindings.")
        };
        return documents.iter().find(is_told).is_none().then(|| format!("there is no component `{target}`"));
    };
    if !peer.is_sound && peer.checked.ignore_errors {
        return Some(format!("component `{target}` is left out for its faults, as its `ignoreErrors` asks"));
    }
    if !peer.checked.direction().has_output() {
        return Some(format!("component `{target}` has no output side"));
    }
    let mut next = Some(target);
    // No way without a loop is longer than the list.
    for _ in 0..=candidates.len() {
        let name = next?;
        if *name == from.name {
            return Some(format!("its letters come back to `{}`", from.name));
        }
        next = find(name).and_then(|candidate| candidate.checked.dead_letter());
    }
    None
}
